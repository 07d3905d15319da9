"""Posting profiles: the accounts that loans of some products are posted to."""

from django import forms
from django.contrib import admin
from django.utils.html import format_html, format_html_join
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from lms.backoffice.base import StaffAdmin
from lms.errors import Refused
from lms.ledger import chart, profiles
from lms.ledger.models import Account, PostingProfile
from lms.words import counted


class AccountsField(forms.ModelMultipleChoiceField):
    """Accounts, each with the code whose place it takes."""

    def label_from_instance(self, account: Account) -> str:
        return f"{account} (for {account.stands_for_id})"


class ProfileForm(forms.ModelForm):
    class Meta:
        model = PostingProfile
        fields = ("name", "accounts")

    def clean_accounts(self):
        accounts = self.cleaned_data["accounts"]
        try:
            profiles.must_be_open(self.instance)
            profiles.must_be_clear(accounts)
        except Refused as refusal:
            raise forms.ValidationError(refusal.message) from refusal
        return accounts


class PostingProfileResource(ModelResource):
    class Meta:
        model = PostingProfile
        fields = ("name", "is_fixed", "accounts")
        export_order = fields


@admin.register(PostingProfile)
class PostingProfileAdmin(StaffAdmin):
    """Once approved terms name it, the accounts of a profile stay as they are."""

    opens = frozenset({"add", "change"})
    nothing_yet = "Without a profile the loans of every product are posted to the common accounts."
    form = ProfileForm
    resource_classes = (PostingProfileResource,)
    list_display = ("name", "shown_accounts", "is_fixed")
    list_filter = (("is_fixed", BooleanRadioFilter),)
    search_fields = ("name", "accounts__code", "accounts__name")
    ordering = ("name",)

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("accounts")

    def get_fieldsets(self, request, obj=None):
        fields = ("name", "accounts") if self._is_open(request, obj) else ("name",)
        where = (("Where its loans are posted", {"fields": ("places",)}),) if obj else ()
        return (("Posting profile", {"fields": fields}), *where)

    def _is_open(self, request, obj) -> bool:
        if obj is None:
            return True
        return not obj.is_fixed and self.has_change_permission(request, obj)

    def get_readonly_fields(self, request, obj=None):
        return (*super().get_readonly_fields(request, obj), "places")

    def get_form(self, request, obj=None, **kwargs):
        if not self._is_open(request, obj):
            kwargs["form"] = forms.ModelForm
        return super().get_form(request, obj, **kwargs)

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        """Offer accounts that stand for others, to be ticked."""
        if db_field.name != "accounts":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        offered = Account.objects.postable().exclude(stands_for=None)
        return AccountsField(
            queryset=offered.select_related("stands_for"),
            widget=UnfoldAdminCheckboxSelectMultipleWidget(),
            help_text=f"{db_field.help_text} Other accounts are made under Accounts first.",
        )

    @display(description="Accounts of its own")
    def shown_accounts(self, profile):
        return counted(len(profile.accounts.all()), "account")

    @display(description="Accounts")
    def places(self, profile):
        """Every account that a product may have of its own, and the one it is posted to."""
        own = profile.places
        accounts = Account.objects.in_bulk([*chart.PER_PRODUCT, *own.values()])
        return format_html(
            '<dl class="grid grid-cols-1 gap-x-6 gap-y-2 lg:grid-cols-2">{}</dl>',
            format_html_join(
                "",
                '<dt>{}</dt><dd class="mb-2 {}">{}</dd>',
                (
                    (
                        accounts[code],
                        "font-semibold" if code in own else "",
                        accounts[own[code]] if code in own else "the common account",
                    )
                    for code in chart.PER_PRODUCT
                ),
            ),
        )
