"""A loan paid out by M-Pesa: promised, sent once, and what becomes of it either way."""

import json
from decimal import Decimal

import pytest

from lms import jobs, routing
from lms.errors import Refused
from lms.ledger import chart
from lms.loans.models import Loan
from lms.loans.operations import lifecycle
from lms.loans.operations.undoing import undo_disbursement
from lms.mpesa import operations as mpesa
from lms.mpesa.client import Daraja, Outcome, State
from lms.mpesa.models import B2cPayment, Callback, Inquiry
from lms.mpesa.simulator import bodies
from lms.payments.models import Payout
from lms.payouts import operations as payouts
from tests import books, factories
from tests.loans.test_settling import pay
from tests.mpesa.conftest import AT
from tests.payouts.conftest import DAY

pytestmark = pytest.mark.django_db
D = Decimal


def approved(end: str = "78", *, principal: int | str = 100_000) -> Loan:
    """A loan to a customer whose phone ends so: the loopback goes by it."""
    borrower = factories.customer("Wanjiku Mwangi", f"2547123456{end}")
    return factories.approved(D(principal), on=DAY, customer=borrower)


def send(loan: Loan, **changes) -> Payout:
    return payouts.send_loan(loan, **{"by": factories.mutua(), "on": DAY, "at": AT, **changes})


def state(loan: Loan) -> tuple[str, str, str]:
    """Return what the loan, its last payout and the last payment of it stand at."""
    loan.refresh_from_db()
    payout = Payout.objects.filter(subject=loan.number).first()
    return loan.status, payout.status, payout.parts.first().status


def in_transit() -> Decimal:
    return -books.balances()[chart.PAYOUTS_ON_THEIR_WAY]


def test_a_loan_is_owed_to_the_customer_until_safaricom_says_that_it_arrived(safaricom):
    loan = approved()

    payout = send(loan)

    assert state(loan) == ("active", "on_its_way", "sent")
    assert in_transit() == payout.amount == D("100000.00")
    books.prove()

    (callback,) = safaricom.deliver()

    assert state(loan) == ("active", "paid", "paid")
    part = payout.parts.get()
    payout.refresh_from_db()
    (paid,) = safaricom.simulator.paid.asked.values()
    assert (part.receipt, payout.reference, payout.arrived) == (
        paid.receipt, paid.receipt, payout.amount
    )  # fmt: skip
    assert (callback.status, callback.b2c) == ("applied", part)
    assert books.balances()[chart.MPESA_UTILITY] == -payout.amount
    assert in_transit() == 0
    assert safaricom.paid_once()
    books.prove()


def test_the_request_is_spelt_as_safaricom_documents_it_and_saved_before_it_is_sent(
    safaricom, monkeypatch
):
    seen = []
    taken = safaricom.simulator.paid.asked
    monkeypatch.setattr(
        Daraja,
        "_send",
        lambda daraja, kind, path, payload, token, read: (
            seen.append((path, payload, B2cPayment.objects.get().status))
            or Outcome(State.ACCEPTED, "0", "", {"ConversationID": "AG_1"})
        ),
    )
    loan = approved()

    send(loan)

    ((path, payload, status),) = seen
    part = B2cPayment.objects.get()
    door = payload["ResultURL"].removesuffix("/b2c/")
    assert taken == {}
    assert (path, status) == ("/mpesa/b2c/v3/paymentrequest", "sending")
    assert payload == {
        "OriginatorConversationID": part.originator_id,
        "InitiatorName": "testapi",
        "SecurityCredential": "c" * 344,
        "CommandID": "BusinessPayment",
        "Amount": 100000,
        "PartyA": "174379",
        "PartyB": "254712345678",
        "Remarks": "Payout",
        "QueueTimeOutURL": f"{door}/b2c-timeout/",
        "ResultURL": f"{door}/b2c/",
        "Occassion": "Payout",
    }


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("20", "not registered for M-Pesa"),
        ("21", "utility account is short"),
    ],
)
def test_what_safaricom_does_not_pay_goes_back_and_the_loan_is_approved_again(
    safaricom, end, words
):
    loan = approved(end)
    send(loan)

    (callback,) = safaricom.deliver()

    assert state(loan) == ("approved", "reversed", "failed")
    assert words in callback.note
    assert words in loan.history.first().history_change_reason
    assert not any(books.balances().values())
    assert loan.repayments.exclude(status="cancelled").count() == 0
    books.prove()


def test_a_loan_that_came_back_is_paid_out_again_as_a_payout_of_its_own(safaricom):
    loan = approved("20")
    send(loan)
    safaricom.deliver()
    customer = loan.customer
    customer.phone = "254712345679"
    customer.save()
    loan = Loan.objects.get(pk=loan.pk)

    send(loan)
    safaricom.deliver()

    assert state(loan) == ("active", "paid", "paid")
    assert Payout.objects.filter(subject=loan.number).count() == 2
    assert safaricom.paid_once()
    books.prove()


@pytest.mark.parametrize("end", ["22", "23", "25", "26"])
def test_what_is_paid_while_its_answer_or_result_is_lost_is_found_by_asking(safaricom, end):
    loan = approved(end)

    send(loan)
    safaricom.deliver()
    safaricom.later(minutes=3)
    jobs.see_to_payouts()
    safaricom.deliver()

    assert state(loan) == ("active", "paid", "paid")
    assert safaricom.paid_once()
    assert in_transit() == 0
    books.prove()


def test_a_timeout_says_nothing_and_asking_finds_that_it_failed(safaricom):
    loan = approved("24")
    send(loan)

    safaricom.deliver()
    assert state(loan) == ("active", "on_its_way", "unknown")
    safaricom.later(minutes=3)
    jobs.see_to_payouts()
    safaricom.deliver()

    assert state(loan) == ("approved", "reversed", "failed")
    books.prove()


def test_a_result_that_comes_twice_or_in_odd_types_is_booked_once(safaricom):
    for end in ("28", "29"):
        loan = approved(end, principal=50_000)
        send(loan)
        callbacks = safaricom.deliver()
        assert state(loan) == ("active", "paid", "paid")
        assert [callback.status for callback in callbacks] in (
            ["applied", "duplicate"], ["applied"]
        )  # fmt: skip
    assert safaricom.paid_once()
    books.prove()


def test_a_late_success_wins_and_the_loan_runs_again(safaricom):
    loan = approved("27")
    send(loan)

    safaricom.deliver()  # the failure, and then the money after all

    assert state(loan) == ("active", "paid", "paid")
    assert [payout.status for payout in Payout.objects.order_by("pk")] == ["reversed", "paid"]
    assert books.balances()[chart.SUSPENSE] == 0
    assert safaricom.paid_once()
    books.prove()


def test_a_late_success_of_a_loan_paid_in_another_way_waits_in_suspense_for_a_person(safaricom):
    loan = approved("27")
    send(loan)
    posted = list(safaricom.door.kept) if safaricom.simulator.wait_until_quiet() else []
    failure, success = posted
    jobs.apply_callback(Callback.objects.create(kind="b2c", body=failure[1], received_at=AT).pk)
    loan.refresh_from_db()
    factories.vault(on=DAY)
    lifecycle.disburse(loan, method="cash", reference=None, by=factories.mutua(), on=DAY)

    jobs.apply_callback(Callback.objects.create(kind="b2c", body=success[1], received_at=AT).pk)

    part = B2cPayment.objects.get()
    assert (part.status, part.is_adrift) == ("paid", True)
    assert list(B2cPayment.objects.needing_review()) == [part]
    assert books.balances()[chart.SUSPENSE] == part.amount
    with pytest.raises(Refused, match="only an approved loan can be disbursed"):
        payouts.take_up(part, by=factories.mutua(), on=DAY)
    books.prove()


def test_a_late_failure_never_undoes_what_is_paid(safaricom):
    loan = approved()
    payout = send(loan)
    safaricom.deliver()
    part = payout.parts.get()
    ids = (part.originator_id, part.conversation_id)
    body = json.dumps(bodies.result(ids, code="1", description="Too late.")).encode()

    late = Callback.objects.create(kind="b2c", body=body, received_at=AT)
    jobs.apply_callback(late.pk)

    late.refresh_from_db()
    assert state(loan) == ("active", "paid", "paid")
    assert late.status == "ignored"
    books.prove()


def test_a_crash_before_the_request_left_is_carried_on_and_one_after_it_is_only_asked_about(
    safaricom,
):
    loan = approved()
    with pytest.MonkeyPatch.context() as crash:
        crash.setattr(mpesa, "send", lambda part, at: None)
        send(loan)
    assert state(loan) == ("active", "on_its_way", "waiting")

    jobs.see_to_payouts()
    jobs.see_to_payouts()
    safaricom.deliver()

    assert state(loan) == ("active", "paid", "paid")
    assert safaricom.paid_once()

    other = approved("79")
    with pytest.MonkeyPatch.context() as crash:
        crash.setattr(Daraja, "pay_customer", _dies)
        with pytest.raises(KeyboardInterrupt):
            send(other)
    assert state(other) == ("active", "on_its_way", "sending")

    for _ in range(12):
        safaricom.later(hours=3)
        jobs.see_to_payouts()
        safaricom.deliver()

    assert state(other) == ("active", "on_its_way", "unresolved")
    assert len(safaricom.simulator.paid.asked) == 1
    part = B2cPayment.objects.latest("pk")
    assert part.is_unknown_there

    mpesa.send_same(part, by=factories.kamau(), at=safaricom.now)
    safaricom.deliver()

    assert state(other) == ("active", "paid", "paid")
    assert safaricom.paid_once()
    books.prove()


def _dies(*args, **kwargs):
    raise KeyboardInterrupt


def test_what_safaricom_says_it_never_had_may_be_sent_again_before_the_day_is_over(safaricom):
    loan = approved("30")
    send(loan)
    part = B2cPayment.objects.get()
    with pytest.raises(Refused, match="may have been paid: ask Safaricom first"):
        mpesa.send_same(part, by=factories.kamau(), at=safaricom.now)
    safaricom.later(minutes=3)
    jobs.see_to_payouts()
    safaricom.deliver()
    part.refresh_from_db()
    B2cPayment.objects.filter(pk=part.pk).update(phone="254712345678")

    mpesa.send_same(part, by=factories.kamau(), at=safaricom.now)
    mpesa.send_same(part, by=factories.kamau(), at=safaricom.now)
    safaricom.deliver()

    assert state(loan) == ("active", "paid", "paid")
    assert safaricom.paid_once()
    books.prove()


def test_what_waited_for_more_than_an_hour_is_left_for_a_person(safaricom):
    loan = approved()
    with pytest.MonkeyPatch.context() as crash:
        crash.setattr(mpesa, "send", lambda part, at: None)
        send(loan)
    safaricom.later(hours=2)

    jobs.see_to_payouts()

    assert state(loan) == ("active", "on_its_way", "unresolved")
    assert safaricom.simulator.paid.asked == {}


def test_a_fate_that_nobody_knows_is_settled_by_two_people_only(safaricom):
    loan = approved("30")
    send(loan)
    for _ in range(10):
        safaricom.later(hours=4)
        jobs.see_to_payouts()
        safaricom.deliver()
    part = B2cPayment.objects.get()
    assert part.status == "unresolved"

    approval = payouts.ask_to_settle(
        part, reason="Safaricom's portal", by=factories.mutua(), on=DAY
    )
    with pytest.raises(Refused, match="somebody else must decide"):
        payouts.settle_by_hand(approval, reason="", by=factories.mutua(), on=DAY)
    payouts.settle_by_hand(approval, reason="Seen too", by=factories.kamau(), on=DAY)

    assert state(loan) == ("approved", "reversed", "failed")
    books.prove()


def test_money_on_its_way_cannot_be_taken_back_by_hand(safaricom):
    loan = approved()
    send(loan)

    with pytest.raises(Refused, match="is on its way: it can be taken back once"):
        undo_disbursement(loan, reason="Changed our mind", by=factories.kamau(), on=DAY)

    safaricom.deliver()
    with pytest.raises(Refused, match="cannot be called back"):
        undo_disbursement(
            Loan.objects.get(pk=loan.pk), reason="It came back", by=factories.kamau(), on=DAY
        )
    books.prove()


# --- Large sums ----------------------------------------------------------------------------------
def test_a_sum_above_the_ceiling_goes_in_parts_and_is_paid_when_all_have_arrived(safaricom):
    loan = approved(principal=400_000)
    payout = send(loan)
    assert [part.amount for part in payout.parts.order_by("pk")] == [D(250_000), D(150_000)]

    first, second = payout.parts.order_by("pk")
    (one, *rest) = safaricom.deliver()

    payout.refresh_from_db()
    assert (one.status, [each.status for each in rest]) == ("applied", ["applied"])
    assert (payout.status, payout.arrived) == ("paid", D(400_000))
    assert {first.pk, second.pk} == set(
        B2cPayment.objects.filter(status="paid").values_list("pk", flat=True)
    )
    assert safaricom.paid_once()
    books.prove()


def test_when_one_part_fails_the_rest_is_sent_again_and_the_loan_goes_on(safaricom):
    safaricom.simulator.books.utility = 300_000
    loan = approved(principal=400_000)
    payout = send(loan)
    safaricom.deliver()
    assert state(loan)[:2] == ("active", "partly")
    assert list(Payout.objects.needing_review()) == [payout]
    assert in_transit() == D(150_000)
    books.prove()
    safaricom.simulator.books.utility = 900_000

    payouts.send_rest(payout, by=factories.mutua(), on=DAY, at=safaricom.now)
    safaricom.deliver()

    assert state(loan) == ("active", "paid", "paid")
    assert payout.parts.count() == 3
    assert safaricom.paid_once()
    books.prove()


@pytest.mark.parametrize(
    ("principal", "words"),
    [
        (600_000, "One customer can receive KES 500,000.00 a day"),
        ("100000.50", "M-Pesa pays whole shillings only"),
    ],
)
def test_what_m_pesa_would_not_pay_is_refused_and_nothing_moves(safaricom, principal, words):
    loan = approved(principal=principal)

    with pytest.raises(Refused, match=words):
        send(loan)

    loan.refresh_from_db()
    assert loan.status == "approved"
    assert (Payout.objects.count(), B2cPayment.objects.count()) == (0, 0)


def test_the_limits_of_the_day_hold_over_all_and_for_one_phone(safaricom, settings):
    settings.DARAJA_B2C_DAY = 150_000
    send(approved())
    with pytest.raises(Refused, match=r"KES 50,000\.00 may still be sent today"):
        send(approved("79"))

    settings.DARAJA_B2C_DAY = 5_000_000
    same = factories.approved(D(450_000), on=DAY)
    with pytest.raises(Refused, match=r"was sent KES 100,000\.00 today"):
        send(same)


def test_the_one_who_approved_a_loan_does_not_pay_it_out(safaricom):
    loan = approved()

    with pytest.raises(Refused, match="someone else must disburse it"):
        send(loan, by=factories.kamau())


def test_without_an_initiator_nothing_is_promised(safaricom, settings):
    settings.DARAJA_INITIATOR = ""

    with pytest.raises(Refused, match="DARAJA_INITIATOR is empty"):
        send(approved())

    assert Payout.objects.count() == 0


def test_a_request_that_safaricom_turned_away_takes_the_loan_back_at_once(safaricom, settings):
    settings.DARAJA_B2C_COMMAND = "Nonsense"
    loan = approved()

    payout = send(loan)

    assert payout.status == "reversed"
    assert state(loan) == ("approved", "reversed", "failed")
    assert "Invalid CommandID" in B2cPayment.objects.get().response_description
    books.prove()


def test_a_failed_payout_whose_loan_went_on_waits_for_a_person(safaricom):
    loan = approved("24")
    send(loan)
    safaricom.deliver()

    routing.take(
        method="cash", amount=D(1000), reference=None, value_date=DAY, account=loan.number,
        by=factories.kamau(), on=DAY,
    )  # fmt: skip
    safaricom.later(minutes=3)
    jobs.see_to_payouts()
    safaricom.deliver()

    assert state(loan) == ("active", "failed", "failed")
    assert Payout.objects.needing_review().count() == 1
    books.prove()


# --- Asking --------------------------------------------------------------------------------------
def test_it_is_asked_with_growing_pauses_for_a_day_and_by_our_own_id(safaricom):
    loan = approved("30")
    send(loan)
    asked = []
    for _ in range(30 * 60):
        safaricom.later(minutes=1)
        before = Inquiry.objects.count()
        jobs.see_to_payouts()
        if Inquiry.objects.count() > before:
            asked.append((safaricom.now - AT).total_seconds() / 60)
            safaricom.deliver()

    assert asked == [2, 5, 15, 60, 180, 480]
    assert state(loan)[2] == "unresolved"


# --- Credit --------------------------------------------------------------------------------------
def with_credit(end: str) -> Loan:
    """A loan that is paid back, with KES 600 more."""
    loan = factories.active(
        on=DAY, customer=factories.customer("Wanjiku Mwangi", f"2547123456{end}")
    )
    pay(loan, 114_070, on=DAY)
    return loan


def send_credit(loan: Loan, amount: int) -> Payout:
    return payouts.send_credit(
        loan.customer, amount=D(amount), by=factories.staff("otieno", "Accountant"), on=DAY, at=AT
    )


def test_credit_is_sent_back_to_the_phone_of_its_customer(safaricom):
    loan = with_credit("78")

    payout = send_credit(loan, 300)
    assert books.balances()[chart.CUSTOMER_CREDIT] == -D(300)
    safaricom.deliver()

    payout.refresh_from_db()
    assert (payout.kind, payout.status) == ("refund", "paid")
    assert in_transit() == 0
    books.prove()


def test_credit_that_did_not_arrive_is_credit_again(safaricom):
    loan = with_credit("20")
    payout = send_credit(loan, 300)

    safaricom.deliver()

    payout.refresh_from_db()
    assert payout.status == "reversed"
    assert books.balances()[chart.CUSTOMER_CREDIT] == -D(600)
    books.prove()


def test_a_late_success_of_credit_is_paid_back_after_all(safaricom):
    loan = with_credit("27")
    send_credit(loan, 300)

    safaricom.deliver()

    assert books.balances()[chart.CUSTOMER_CREDIT] == -D(300)
    assert [payout.status for payout in Payout.objects.filter(kind="refund").order_by("pk")] == [
        "reversed",
        "paid",
    ]
    assert safaricom.paid_once()
    books.prove()
