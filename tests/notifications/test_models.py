from itertools import product

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.notifications import wording
from lms.notifications.models import SAMPLES, Message, MessageTemplate
from tests import factories
from tests.notifications.conftest import reminder

pytestmark = pytest.mark.django_db
Status = Message.Status


def template(**fields) -> MessageTemplate:
    return MessageTemplate(
        **{"occasion": "overdue", "channel": "sms", "body": "Dear {customer}", **fields}
    )


def test_a_new_office_has_a_template_for_each_occasion_and_channel():
    assert MessageTemplate.objects.count() == 10
    assert {(row.occasion, row.channel) for row in MessageTemplate.objects.all()} == {
        *product(SAMPLES, ("sms", "email"))
    } - {("guarantor_demand", "email"), ("books_off", "sms")}  # a demand goes by SMS or on paper


def test_seeding_again_keeps_what_staff_wrote():
    MessageTemplate.objects.filter(occasion="overdue", channel="sms").update(body="Pay up.")
    MessageTemplate.objects.filter(occasion="upcoming").delete()

    wording.seed(MessageTemplate)

    assert MessageTemplate.objects.count() == 10
    assert MessageTemplate.objects.get(occasion="overdue", channel="sms").body == "Pay up."


@pytest.mark.parametrize("occasion", SAMPLES)
def test_the_first_templates_are_valid_and_fit_one_sms(occasion):
    for row in MessageTemplate.objects.filter(occasion=occasion):
        row.full_clean()
        preview = row.preview({**SAMPLES[occasion], "amount": "125,000.00"})

        if row.channel == "sms":
            assert (preview.segments.encoding, preview.segments.parts) == ("GSM-7", 1)


def test_a_preview_shows_the_words_a_customer_reads_and_their_cost():
    preview = template(body="Dear {customer}, it’s {days} late.").preview()

    assert preview.body == "Dear Wanjiku, it's 3 days late."
    assert (preview.subject, preview.segments) == ("", ("GSM-7", 31, 1, 129))


def test_an_email_is_not_billed_by_length_and_its_subject_is_one_line():
    preview = template(channel="email", subject="Loan {loan}\r\nBcc: x@y.z", body="“Hi”").preview()

    assert preview == ("Loan LN000123 Bcc: x@y.z", "“Hi”", None)


@pytest.mark.parametrize(
    ("fields", "field", "complaint"),
    [
        ({"body": "{nobody}"}, "body", "There is no placeholder {nobody} here."),
        ({"body": "{customer.phone}"}, "body", "There is no placeholder {customer.phone} here."),
        ({"body": "{receipt}"}, "body", "There is no placeholder {receipt} here."),
        ({"channel": "email", "subject": "{x}"}, "subject", "There is no placeholder {x} here."),
        ({"channel": "email"}, "subject", "An e-mail needs a subject."),
        ({"subject": "Hello"}, "subject", "An SMS has no subject: leave it empty."),
    ],
)
def test_a_template_that_could_not_be_sent_is_refused(fields, field, complaint):
    with pytest.raises(ValidationError) as refusal:
        template(**fields).clean()

    assert list(refusal.value.message_dict) == [field]
    assert refusal.value.message_dict[field][0].startswith(complaint)


def test_an_occasion_has_one_template_for_a_channel():
    with pytest.raises(ValidationError, match="There is a template for this occasion and channel"):
        template().full_clean()


STEPS = {
    ("queued", "sending"),
    ("queued", "cancelled"),
    ("sending", "sent"),
    ("sending", "failed"),
    ("sending", "unknown"),
    ("sending", "queued"),
    ("unknown", "sent"),
    ("unknown", "failed"),
}


@pytest.mark.parametrize(("before", "after"), list(product(Status.values, repeat=2)))
def test_a_message_takes_only_the_steps_of_its_map(before, after):
    assert (after in Message.NEXT.get(before, ())) == ((before, after) in STEPS)
    if (before, after) not in STEPS:
        with pytest.raises(Refused, match=f"The message is {before}, so it cannot become {after}."):
            Message(status=before).move_to(after)


@pytest.mark.parametrize(
    "fields", [{"recipient": ""}, {"status": "sent"}, {"status": "sending", "claimed_at": None}]
)
def test_the_database_refuses_a_message_that_contradicts_itself(fields):
    message = reminder()

    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.filter(pk=message.pk).update(**fields)


def test_staff_see_the_messages_of_their_branch():
    here = reminder()
    mombasa = factories.branch("MSA", "Mombasa")
    there = reminder(
        factories.customer("Otieno Ouma", "254722000111", branch=mombasa), key="overdue:2"
    )

    assert list(Message.objects.seen_by(factories.staff("kamau"))) == [here]
    assert list(Message.objects.seen_by(factories.staff("wairimu", branch=None))) == [there, here]
