"""Staff, their roles and their branches."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    DropdownFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from lms import phones
from lms.backoffice.base import StaffAdmin
from lms.backoffice.forms import ReasonDialog
from lms.money import kes
from lms.staff import operations
from lms.staff.models import Branch, Holiday, Staff
from lms.staff.roles import ROLES


@admin.register(Branch)
class BranchAdmin(StaffAdmin):
    opens = frozenset({"add", "change"})
    branch_path = "pk"
    list_display = ("name", "code", "town", "phone", "requires_drawer", "is_active")
    list_filter = (("is_active", BooleanRadioFilter),)
    search_fields = ("name", "code")
    fields = ("name", "code", "town", "phone", "requires_drawer", "is_active")


@admin.register(Holiday)
class HolidayAdmin(StaffAdmin):
    """Days on which nobody pays. They move due dates of loans that are made from now on."""

    opens = frozenset({"add", "change", "delete"})
    list_display = ("day", "name")
    search_fields = ("name",)
    fields = (("day", "name"),)


class StaffResource(ModelResource):
    class Meta:
        model = Staff
        fields = (
            "username",
            "first_name",
            "last_name",
            "email",
            "phone",
            "branch__code",
            "approval_limit",
            "is_active",
            "last_login",
        )
        export_order = fields


class RoleFilter(DropdownFilter):
    title = "role"
    parameter_name = "role"

    def lookups(self, request, model_admin):
        return [(name, name) for name in ROLES]

    def queryset(self, request, queryset):
        return queryset.filter(groups__name=self.value()) if self.value() else queryset


@admin.register(Staff)
class MemberAdmin(StaffAdmin, UserAdmin):
    """A member of staff. They are never deleted, so that what they did keeps their name."""

    opens = frozenset({"add", "change"})
    branch_path = "branch"
    resource_classes = (StaffResource,)
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("shown_name", "roles", "branch", "shown_phone", "shown_limit", "state")
    list_filter = (RoleFilter, ("branch", RelatedDropdownFilter), ("is_active", BooleanRadioFilter))
    list_select_related = ("branch",)
    search_fields = ("username", "first_name", "last_name", "=phone", "email")
    ordering = ("first_name", "last_name", "username")
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined", "is_active")
    readonly_preprocess_fields = {"phone": phones.show}
    actions_detail = ("deactivate", "reactivate")
    offers = {
        "deactivate": lambda member: member.is_active,
        "reactivate": lambda member: not member.is_active,
    }
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email", "phone")}),
        ("Work", {"fields": ("branch", "groups", "approval_limit")}),
        ("Access", {"fields": ("is_active", "last_login", "date_joined")}),
    )
    superuser_fieldset = ("Everything", {"fields": ("is_superuser",), "classes": ("collapse",)})
    add_fieldsets = (
        (None, {"fields": ("username", "password1", "password2")}),
        ("Person", {"fields": ("first_name", "last_name", "email", "phone")}),
        ("Work", {"fields": ("branch", "groups", "approval_limit")}),
    )

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("groups")

    def get_fieldsets(self, request, obj=None):
        found = super().get_fieldsets(request, obj)
        return (*found, self.superuser_fieldset) if obj and request.user.is_superuser else found

    def get_readonly_fields(self, request, obj=None):
        """Nobody widens their own powers."""
        found = super().get_readonly_fields(request, obj)
        own = obj is not None and obj.pk == request.user.pk and not request.user.is_superuser
        return (*found, "branch", "groups", "approval_limit") if own else found

    def has_change_permission(self, request, obj=None):
        allowed = super().has_change_permission(request, obj)
        return allowed and (request.user.is_superuser or not getattr(obj, "is_superuser", False))

    def formfield_for_manytomany(self, field, request, **kwargs):
        if field.name == "groups":
            kwargs["queryset"] = Group.objects.filter(name__in=ROLES).order_by("name")
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
        form_field = super().formfield_for_manytomany(field, request, **kwargs)
        if form_field is not None and field.name == "groups":
            form_field.label, form_field.help_text = "Roles", "What the person may do."
        return form_field

    def save_model(self, request, obj, form, change):
        obj.is_staff = True
        super().save_model(request, obj, form, change)

    def save_related(self, request, form, formsets, change):
        """Roles leave no trace on the row itself, so a change of them writes one into history."""
        before = self._role_names(form.instance)
        super().save_related(request, form, formsets, change)
        member = Staff.objects.get(pk=form.instance.pk)
        after = self._role_names(member)
        if before != after:
            member._history_user = request.user
            member._change_reason = f"Roles: {before or 'none'} → {after or 'none'}"[:100]
            member.save()

    @staticmethod
    def _role_names(member: Staff) -> str:
        return ", ".join(member.groups.order_by("name").values_list("name", flat=True))

    @display(description="Name", header=True, ordering="first_name")
    def shown_name(self, member):
        name = str(member)
        return [name, member.username, "".join(word[0] for word in name.split()[:2]).upper()]

    @display(description="Roles")
    def roles(self, member):
        names = ", ".join(group.name for group in member.groups.all())
        return names or ("Superuser" if member.is_superuser else "-")

    @display(description="Phone")
    def shown_phone(self, member):
        return phones.show(member.phone) or "-"

    @display(description="Approves up to", ordering="approval_limit")
    def shown_limit(self, member):
        return kes(member.approval_limit) if member.approval_limit else "-"

    @display(description="State", label={"Active": "success", "Deactivated": "danger"})
    def state(self, member):
        return "Active" if member.is_active else "Deactivated"

    # --- Actions -------------------------------------------------------------------------------
    def has_deactivate_permission(self, request, obj=None):
        """`obj` is the member or their key: an administrator does not touch a superuser."""
        if not self.has_change_permission(request):
            return False
        if obj is None or request.user.is_superuser:
            return True
        member = self.record_of(request, obj)
        return member is not None and not member.is_superuser

    @action(
        description="Deactivate",
        permissions=["deactivate"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Deactivate this person",
            "description": "They are logged out at once and cannot log in again.",
            "form_class": ReasonDialog,
            "form_submit_text": "Deactivate",
        },
    )
    def deactivate(self, request, form, object_id):
        return self.perform(request, object_id, operations.deactivate, form, done="Deactivated.")

    @action(
        description="Reactivate",
        permissions=["deactivate"],
        dialog={
            "title": "Give access back",
            "description": "They can log in again, with the roles they had.",
            "form_class": ReasonDialog,
            "form_submit_text": "Reactivate",
        },
    )
    def reactivate(self, request, form, object_id):
        return self.perform(request, object_id, operations.reactivate, form, done="Reactivated.")


admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(StaffAdmin):
    """A role, to be read: its permissions are a table in the code."""

    list_display = ("name", "members")
    fields = ("name", "shown_permissions")
    search_fields = ("name",)
    ordering = ("name",)

    def get_queryset(self, request):
        return super().get_queryset(request).annotate(people=Count("user"))

    def has_export_permission(self, request):
        return False

    @display(description="People", ordering="people")
    def members(self, role):
        return role.people

    @display(description="May")
    def shown_permissions(self, role):
        """One line a model: what may be done with it."""
        may: dict[str, list[str]] = {}
        for permission in role.permissions.select_related("content_type"):
            verb, _, model = permission.codename.partition("_")
            is_plain = model == permission.content_type.model
            named = verb if is_plain else permission.name.removeprefix("Can ")
            may.setdefault(permission.content_type.name, []).append(named)
        return "\n".join(f"{name}: {', '.join(sorted(may[name]))}" for name in sorted(may))
