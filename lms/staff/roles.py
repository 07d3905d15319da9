"""Who may do what: one table of roles, kept in step with the database after every migration.

A role is a group. `view` is implied by every other permission on a model.
"""

from collections.abc import Iterable

OPERATIONS = {
    "decide_approval": "staff",
    "view_books": "ledger",
    "close_period": "ledger",
    "reopen_period": "ledger",
    "verify_customer": "customers",
    "set_score_limit": "customers",
    "match_payment": "payments",
    "reverse_payment": "payments",
    "submit_loan": "loans",
    "approve_loan": "loans",
    "approve_manualjournal": "ledger",
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
    "use_drawersession": "tills",
    "oversee_drawersession": "tills",
    "approve_difference": "tills",
    "confirm_banking": "tills",
    "reverse_fundstransfer": "tills",
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
    "resolve_reconciliation": "reconciliation",
    "sign_off_reconciliation": "reconciliation",
    "reopen_reconciliation": "reconciliation",
    "run_dayclose": "closing",
    "resend_message": "notifications",
    "cancel_message": "notifications",
}
# Short names for models, as the table below writes them.
MODELS = {
    "branch": "staff",
    "holiday": "staff",
    "staff": "staff",
    "approval": "staff",
    "customer": "customers",
    "customerdocument": "customers",
    "account": "ledger",
    "period": "ledger",
    "journalentry": "ledger",
    "transfer": "ledger",
    "manualjournal": "ledger",
    "manualline": "ledger",
    "journalpaper": "ledger",
    "journaltemplate": "ledger",
    "journaltemplateline": "ledger",
    "payment": "payments",
    "payout": "payments",
    "drawersession": "tills",
    "tilltransfer": "tills",
    "banking": "tills",
    "fundstransfer": "tills",
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
    "proof": "closing",
    "importjob": "imports",
    "reconciliation": "reconciliation",
    "statementfile": "reconciliation",
    "statementline": "reconciliation",
    "banklayout": "reconciliation",
    "schedule": "django_q",
    "success": "django_q",
    "failure": "django_q",
    "ormq": "django_q",
    "group": "auth",
}
SEE_LENDING = {
    "approval": "view",
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

SEE_JOURNALS = {
    "account": "view",
    "journalentry": "view",
    "transfer": "view",
    "manualjournal": "view",
    "manualline": "view",
    "journalpaper": "view",
    "journaltemplate": "view",
    "journaltemplateline": "view",
}
WRITE_JOURNALS = {
    "manualjournal": "add change",
    "manualline": "add change delete",
    "journalpaper": "add change delete",
    "journaltemplate": "add change",
    "journaltemplateline": "add change delete",
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
        ("run_dayclose", "set_score_limit", "view_books"),
    ),
    "Manager": (
        [
            SEE_LENDING,
            PREPARE_LOANS,
            SEE_JOURNALS,
            {
                "staff": "view",
                "period": "view",
                "dayclose": "view",
                "closefailure": "view",
                "proof": "view",
                "provisiontable": "view",
                "provisionband": "view",
                "repayment": "add change",
                "penalty": "add",
                "messagetemplate": "view change",
                "importjob": "add change",
                "reconciliation": "view",
                "statementfile": "view",
                "statementline": "view",
                "banklayout": "view",
                "callback": "view",
                "payment": "add",
                "drawersession": "add",
                "tilltransfer": "view",
                "banking": "add",
                "fundstransfer": "add",
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
        [
            SEE_LENDING,
            {
                "payment": "add",
                "callback": "view",
                "drawersession": "add",
                "tilltransfer": "view",
                "banking": "view",
            },
        ],
        ("match_payment", "disburse_loan", "collect_loan", "settle_loan", "use_drawersession"),
    ),
    "Accountant": (
        [
            SEE_LENDING,
            SEE_JOURNALS,
            WRITE_JOURNALS,
            {
                "account": "add change",
                "dayclose": "view",
                "closefailure": "view",
                "proof": "view",
                "provisiontable": "view",
                "provisionband": "view",
                "journalentry": "view",
                "transfer": "view",
                "period": "view",
                "payment": "add",
                "callback": "view",
                "importjob": "add change",
                "reconciliation": "add",
                "statementfile": "add",
                "statementline": "view",
                "banklayout": "add change",
                "repayment": "add change",
                "drawersession": "add",
                "tilltransfer": "view",
                "banking": "add",
                "fundstransfer": "add",
            },
        ],
        (
            "decide_approval",
            "close_period",
            "reopen_period",
            "view_books",
            "match_payment",
            "reverse_payment",
            "refund_payment",
            "resolve_reconciliation",
            "sign_off_reconciliation",
            "reopen_reconciliation",
            "use_drawersession",
            "oversee_drawersession",
            "approve_difference",
            "confirm_banking",
            "reverse_fundstransfer",
        ),
    ),
    "Auditor": ([SEE_ALL], ("view_books",)),
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
