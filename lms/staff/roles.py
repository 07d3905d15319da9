"""Who may do what: one table of roles, kept in step with the database after every migration.

A role is a group. `view` is implied by every other permission on a model.
"""

from collections.abc import Iterable

OPERATIONS = {
    "verify_customer": "customers",
    "match_payment": "payments",
    "reverse_payment": "payments",
    "submit_loan": "loans",
    "approve_loan": "loans",
    "disburse_loan": "loans",
    "close_loan": "loans",
    "collect_loan": "loans",
    "reschedule_loan": "loans",
    "restructure_loan": "loans",
    "undo_loan": "loans",
    "settle_loan": "loans",
    "write_off_loan": "loans",
    "transfer_loan": "loans",
    "record_death": "loans",
    "refund_payment": "payments",
    "approve_productversion": "loans",
    "waive_repayment": "loans",
    "waive_principal": "loans",
    "cancel_repayment": "loans",
    "consent_guarantor": "loans",
    "notify_guarantor": "loans",
    "substitute_guarantor": "loans",
    "release_guarantor": "loans",
    "revalue_collateral": "loans",
    "register_collateral": "loans",
    "custody_collateral": "loans",
    "release_collateral": "loans",
    "release_owed_collateral": "loans",
    "run_dayclose": "closing",
    "resend_message": "notifications",
    "cancel_message": "notifications",
}
# Short names for models, as the table below writes them.
MODELS = {
    "branch": "staff",
    "holiday": "staff",
    "staff": "staff",
    "customer": "customers",
    "customerdocument": "customers",
    "account": "ledger",
    "journalentry": "ledger",
    "transfer": "ledger",
    "payment": "payments",
    "payout": "payments",
    "messagetemplate": "notifications",
    "message": "notifications",
    "mpesapayment": "mpesa",
    "callback": "mpesa",
    "loanproduct": "loans",
    "productversion": "loans",
    "productfee": "loans",
    "eligibilityrule": "loans",
    "loan": "loans",
    "issueddocument": "loans",
    "deathclaim": "loans",
    "loanfee": "loans",
    "loanchange": "loans",
    "tranche": "loans",
    "guarantor": "loans",
    "guarantornotice": "loans",
    "collateral": "loans",
    "collateraldocument": "loans",
    "valuation": "loans",
    "repayment": "loans",
    "penalty": "loans",
    "waiver": "loans",
    "allocation": "loans",
    "position": "loans",
    "loansnapshot": "loans",
    "nonperforming": "loans",
    "provision": "loans",
    "provisiontable": "loans",
    "provisionband": "loans",
    "dayclose": "closing",
    "closefailure": "closing",
    "importjob": "imports",
    "schedule": "django_q",
    "success": "django_q",
    "failure": "django_q",
    "ormq": "django_q",
    "group": "auth",
}
SEE_LENDING = {
    "branch": "view",
    "holiday": "view",
    "customer": "view",
    "customerdocument": "view",
    "loanproduct": "view",
    "productversion": "view",
    "productfee": "view",
    "eligibilityrule": "view",
    "loan": "view",
    "issueddocument": "view",
    "deathclaim": "view",
    "loanfee": "view",
    "loanchange": "view",
    "tranche": "view",
    "guarantor": "view",
    "guarantornotice": "view",
    "collateral": "view",
    "collateraldocument": "view",
    "valuation": "view",
    "repayment": "view",
    "penalty": "view",
    "waiver": "view",
    "allocation": "view",
    "position": "view",
    "loansnapshot": "view",
    "nonperforming": "view",
    "provision": "view",
    "payment": "view",
    "payout": "view",
    "mpesapayment": "view",
    "message": "view",
}
SEE_ALL = {model: "view" for model in MODELS if model != "ormq"}
PREPARE_LOANS = {
    "customer": "add change",
    "customerdocument": "add change delete",
    "loan": "add change",
    "loanfee": "add change delete",
    "tranche": "add change delete",
    "guarantor": "add change delete",
    "collateral": "add change delete",
    "collateraldocument": "add change delete",
}

# Each role: models with the permissions on them, then the operations it may carry out.
ROLES: dict[str, tuple[list[dict[str, str]], Iterable[str]]] = {
    "Administrator": (
        [
            SEE_ALL,
            {
                "branch": "add change",
                "holiday": "add change delete",
                "staff": "add change",
                "loanproduct": "add change",
                "productversion": "add change",
                "productfee": "add change delete",
                "eligibilityrule": "add change delete",
                "messagetemplate": "add change",
                "provisiontable": "add change",
                "provisionband": "add change",
                "schedule": "add change delete",
                "customer": "add change",
                "importjob": "add change",
            },
        ],
        ("run_dayclose",),
    ),
    "Manager": (
        [
            SEE_LENDING,
            PREPARE_LOANS,
            {
                "staff": "view",
                "dayclose": "view",
                "closefailure": "view",
                "provisiontable": "view",
                "provisionband": "view",
                "repayment": "add change",
                "penalty": "add",
                "messagetemplate": "view change",
                "importjob": "add change",
                "callback": "view",
                "payment": "add",
            },
        ],
        OPERATIONS,
    ),
    "Loan officer": (
        [SEE_LENDING, PREPARE_LOANS, {"messagetemplate": "view"}],
        (
            "submit_loan",
            "collect_loan",
            "consent_guarantor",
            "notify_guarantor",
            "revalue_collateral",
            "register_collateral",
            "custody_collateral",
        ),
    ),
    "Cashier": (
        [SEE_LENDING, {"payment": "add", "callback": "view"}],
        ("match_payment", "disburse_loan", "collect_loan", "settle_loan"),
    ),
    "Accountant": (
        [
            SEE_LENDING,
            {
                "account": "add change",
                "dayclose": "view",
                "closefailure": "view",
                "provisiontable": "view",
                "provisionband": "view",
                "journalentry": "view",
                "transfer": "view",
                "payment": "add",
                "callback": "view",
                "importjob": "add change",
                "repayment": "add change",
            },
        ],
        ("match_payment", "reverse_payment", "refund_payment"),
    ),
    "Auditor": ([SEE_ALL], ()),
}


def permissions_of(role: str) -> set[tuple[str, str]]:
    """Return the permissions of a role as pairs of app label and codename."""
    tables, operations = ROLES[role]
    wanted = {(OPERATIONS[name], name) for name in operations}
    for table in tables:
        for model, verbs in table.items():
            wanted |= {(MODELS[model], f"{verb}_{model}") for verb in {"view", *verbs.split()}}
    return wanted


def sync(group_model, permission_model) -> None:
    """Make the groups of the database hold exactly the permissions of the table."""
    known = {
        (app, codename): pk
        for pk, app, codename in permission_model.objects.values_list(
            "pk", "content_type__app_label", "codename"
        )
    }
    for role in ROLES:
        group, _ = group_model.objects.get_or_create(name=role)
        missing = permissions_of(role) - known.keys()
        if missing:
            raise LookupError(f"The role {role} names unknown permissions: {sorted(missing)}")
        group.permissions.set([known[pair] for pair in permissions_of(role)])
