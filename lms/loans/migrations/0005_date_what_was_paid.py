from django.db import migrations
from django.db.models import F, Max, OuterRef, Subquery
from django.db.models.functions import Greatest


def fill(apps, schema_editor):
    """Date allocations and charges, as replays want to know them."""
    allocation = apps.get_model("loans", "Allocation")
    repayment = apps.get_model("loans", "Repayment")
    penalty = apps.get_model("loans", "Penalty")
    waiver = apps.get_model("loans", "Waiver")
    position = apps.get_model("loans", "Position")
    entry = apps.get_model("ledger", "JournalEntry")
    transfer = apps.get_model("ledger", "Transfer")

    day = entry.objects.filter(pk=OuterRef("entry_id")).values("date")[:1]
    allocation.objects.update(counts_on=Subquery(day))
    spent = transfer.objects.filter(debit_id="2020", entry__kind="allocation").values("entry_id")
    allocation.objects.filter(entry_id__in=spent).update(from_credit=True)

    charges = penalty.objects.filter(repayment_id=OuterRef("pk"), charged_by=None)
    last = charges.order_by().values("repayment_id").annotate(day=Max("charged_on")).values("day")
    repayment.objects.filter(penalties__gt=0).update(penalties_since=Subquery(last))
    for loan, taken_over_on in entry.objects.filter(kind="takeover").values_list(
        "reference", "date"
    ):
        repayment.objects.filter(
            loan_id=int(loan.removeprefix("takeover:")), penalties_since=None
        ).update(penalties_since=taken_over_on)

    def latest(model, field, path):
        rows = model.objects.filter(**{path: OuterRef("pk")}).order_by()
        return Subquery(rows.values(path).annotate(day=Max(field)).values("day"))

    position.objects.update(
        last_event_on=latest(allocation, "counts_on", "repayment__loan_id"),
    )
    for model, field in ((penalty, "charged_on"), (waiver, "waived_on")):
        found = latest(model, field, "repayment__loan_id")
        position.objects.filter(last_event_on=None).update(last_event_on=found)
        later = position.objects.annotate(found=found).filter(found__gt=F("last_event_on"))
        later.update(last_event_on=Greatest(F("last_event_on"), found))


class Migration(migrations.Migration):
    dependencies = [
        ("loans", "0004_prepare_the_engine"),
        ("ledger", "0003_seed_accounts_of_losses"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
