"""What may be done with a manual journal: every step asks, and shows the balances first."""

from django.urls import reverse
from django.utils.functional import cached_property
from unfold.decorators import action
from unfold.enums import ActionVariant

from lms import dates
from lms.backoffice.forms import ReasonDialog, StaffDialog, date_field, reason_field
from lms.errors import Refused
from lms.ledger import journals
from lms.ledger.models import ManualJournal

Status = ManualJournal.Status


def page_of(journal: ManualJournal) -> str:
    return reverse("admin:ledger_manualjournal_change", args=[journal.pk])


# --- Dialogs -------------------------------------------------------------------------------------
def effect_of(journal: ManualJournal, *, staff) -> dict:
    """Return the context of the table of balances before and after, or why there is none.

    A person who may not touch a branch does not read its balances either.
    """
    try:
        journals.must_be_own_branches(journal.sides(), staff)
        return {"effect": journals.effect(journal)}
    except Refused as refusal:
        return {"wrong": refusal.message}


class EffectDialog(StaffDialog):
    """Shows the balances before and after, so that nobody agrees to what they have not seen."""

    form_before_template = "admin/ledger/effect_before.html"

    @cached_property
    def journal(self) -> ManualJournal:
        return ManualJournal.objects.select_related("branch").get(pk=self.object_id)

    @property
    def subject(self) -> str:
        journal = self.journal
        again = (
            f" It is reversed on {dates.show(journals.next_period(journal.date))}."
            if journal.reverses_next_period
            else ""
        )
        return f"{journal}, on {dates.show(journal.date)}.{again}"

    def get_before_template_context(self, request, object_id=None) -> dict:
        return {
            **super().get_before_template_context(request, object_id),
            **effect_of(self.journal, staff=request.user),
        }


class ReverseDialog(StaffDialog):
    """The day and the reason of a reversal."""

    reversal_date = date_field(
        "Date of the reversal", help_text="The next month begins with it, unless you say otherwise."
    )
    reason = reason_field()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        journal = ManualJournal.objects.get(pk=self.object_id)
        self.initial["reversal_date"] = journals.next_period(journal.date)


class JournalActions:
    """What may be done with a journal: each asks in a dialog."""

    actions_detail = ("submit", "approve", "reject", "reverse", "copy", "withdraw")
    actions_row = ("submit", "approve", "reject", "reverse", "copy")
    offers = {
        "submit": lambda journal: journal.is_draft,
        "approve": lambda journal: journal.status == Status.SUBMITTED,
        "reject": lambda journal: journal.status == Status.SUBMITTED,
        "withdraw": lambda journal: Status.WITHDRAWN in journal.NEXT.get(journal.status, ()),
        "reverse": lambda journal: (
            journal.is_posted
            and journal.reverses_id is None
            and not journal.reversals.standing().exists()
        ),
    }

    def has_make_permission(self, request, obj=None):
        return request.user.has_perm("ledger.add_manualjournal")

    def has_approve_permission(self, request, obj=None):
        return request.user.has_perm("ledger.approve_manualjournal")

    @action(
        description="Submit",
        permissions=["make"],
        icon="send",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Submit this journal",
            "description": "A second person posts or rejects it. It is not changed after this.",
            "form_class": EffectDialog,
            "form_submit_text": "Submit",
        },
    )
    def submit(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            journals.submit,
            form,
            done=lambda journal: f"{journal.number} waits for a second person.",
        )

    @action(
        description="Approve and post",
        permissions=["approve"],
        icon="check_circle",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Post this journal",
            "description": "What is posted stays in the books: it can only be reversed.",
            "form_class": EffectDialog,
            "form_submit_text": "Post",
        },
    )
    def approve(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            journals.approve,
            form,
            done=lambda journal: f"{journal.number} is posted.",
        )

    @action(
        description="Reject",
        permissions=["approve"],
        icon="block",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Reject this journal",
            "description": "It is not posted. Whoever wrote it may copy it and correct the copy.",
            "form_class": ReasonDialog,
            "form_submit_text": "Reject",
        },
    )
    def reject(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            journals.reject,
            form,
            done=lambda journal: f"{journal.number} is rejected.",
        )

    @action(
        description="Reverse",
        permissions=["make"],
        icon="undo",
        dialog={
            "title": "Ask for the reversal of this journal",
            "description": "The same lines, debit and credit swapped. A second person posts it.",
            "form_class": ReverseDialog,
            "form_submit_text": "Ask",
        },
    )
    def reverse(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            journals.ask_to_reverse,
            form,
            done=lambda journal: f"{journal.number} waits for a second person.",
        )

    @action(
        description="Copy",
        permissions=["make"],
        icon="content_copy",
        dialog={
            "title": "Copy this journal",
            "description": "A draft of today with the same lines, to be changed and submitted.",
            "form_class": StaffDialog,
            "form_submit_text": "Copy",
        },
    )
    def copy(self, request, form, object_id):
        made = []

        def copied(journal, **answers):
            made.append(journals.copy(journal, **answers))
            return made[0]

        response = self.perform(
            request, object_id, copied, form, done=lambda journal: f"{journal.number} is a draft."
        )
        if made:
            response["HX-Redirect"] = page_of(made[0])
        return response

    @action(
        description="Withdraw",
        permissions=["make"],
        icon="delete",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Withdraw this journal",
            "description": "It is kept, and never posted.",
            "form_class": ReasonDialog,
            "form_submit_text": "Withdraw",
        },
    )
    def withdraw(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            journals.withdraw,
            form,
            done=lambda journal: f"{journal.number} is withdrawn.",
        )
