"""The templates a lender starts with. Staff edit them in the office; the code never rereads these.

An SMS stays within one part of 160 characters with ordinary names and amounts.
"""

_SIGNED = "\n\nThank you,\n{lender}"

TEMPLATES = (
    (
        "upcoming",
        "sms",
        "",
        "Dear {customer}, KES {amount} on loan {loan} is due on {due_date}. "
        "Pay by M-Pesa paybill {paybill}, account {loan}. {lender}",
    ),
    (
        "due_today",
        "sms",
        "",
        "Dear {customer}, KES {amount} on loan {loan} is due today. "
        "Pay by M-Pesa paybill {paybill}, account {loan}. Thank you. {lender}",
    ),
    (
        "overdue",
        "sms",
        "",
        "Dear {customer}, KES {amount} on loan {loan} is {days} late. "
        "Please pay by M-Pesa paybill {paybill}, account {loan}, or call us. {lender}",
    ),
    (
        "payment_received",
        "sms",
        "",
        "Dear {customer}, we received KES {amount} for loan {loan}. Receipt {receipt}. "
        "Balance KES {balance}. Thank you. {lender}",
    ),
    (
        "guarantor_demand",
        "sms",
        "",
        "{customer}, you guarantee KES {guaranteed} of {borrower}'s loan {loan}. Pay the late KES "
        "{amount} by {date}: paybill {paybill}, account {loan}. {lender}",
    ),
    (
        "upcoming",
        "email",
        "Loan {loan}: KES {amount} due on {due_date}",
        "Dear {customer},\n\nInstalment {instalment} of your loan {loan}, KES {amount}, is due on "
        "{due_date}, in {days}.\n\nPay by M-Pesa paybill {paybill}, account {loan}." + _SIGNED,
    ),
    (
        "due_today",
        "email",
        "Loan {loan}: KES {amount} due today",
        "Dear {customer},\n\nInstalment {instalment} of your loan {loan}, KES {amount}, is due "
        "today, {due_date}.\n\nPay by M-Pesa paybill {paybill}, account {loan}." + _SIGNED,
    ),
    (
        "overdue",
        "email",
        "Loan {loan}: KES {amount} is {days} late",
        "Dear {customer},\n\nInstalment {instalment} of your loan {loan} was due on {due_date}. "
        "KES {amount} is still to be paid, and is now {days} late.\n\n"
        "Pay by M-Pesa paybill {paybill}, account {loan}. If you cannot pay "
        "today, please call us: we would rather talk." + _SIGNED,
    ),
    (
        "payment_received",
        "email",
        "Loan {loan}: we received KES {amount}",
        "Dear {customer},\n\nWe received KES {amount} for your loan {loan}. Our receipt is "
        "{receipt}. The balance of the loan is KES {balance}." + _SIGNED,
    ),
    (
        "books_off",
        "email",
        "The books of {day} do not agree",
        "Dear {staff},\n\nIn the night of {day} {proofs} of the books did not hold:\n\n{list}\n\n"
        "Open “Proofs of the books” in the office and find out who or what wrote past it before "
        "the month is closed." + _SIGNED,
    ),
)


def seed(template_model) -> None:
    """Create the templates that are missing, and leave those staff have edited.

    Used by the migration; runs any number of times.
    """
    template_model.objects.bulk_create(
        [
            template_model(occasion=occasion, channel=channel, subject=subject, body=body)
            for occasion, channel, subject, body in TEMPLATES
        ],
        ignore_conflicts=True,
    )
