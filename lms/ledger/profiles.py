"""Accounts that loans of some products are posted to in place of the common ones."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from lms.errors import Refused
from lms.ledger.balances import Balance
from lms.ledger.models import Account, PostingProfile
from lms.ledger.operations import Accounts


def common() -> dict[str, str]:
    """Return the code of the common account by the code of each account that stands for it."""
    standing_in = Account.objects.exclude(stands_for=None)
    return dict(standing_in.values_list("code", "stands_for_id"))


def codes_of(code: str) -> list[str]:
    """Return the code of a common account and of all that stand for it."""
    return [code, *Account.objects.filter(stands_for=code).values_list("code", flat=True)]


def places() -> dict[int | None, Accounts]:
    """Return the accounts of every profile, by its key; the common ones are those of None."""
    found: dict[int | None, dict[str, str]] = {None: {}}
    profiles = PostingProfile.objects.order_by()
    rows = profiles.values_list("pk", "accounts__stands_for_id", "accounts__code")
    for profile, code, place in rows:
        found.setdefault(profile, {})[code] = place
    return found


def together(found: Mapping[str, Balance]) -> dict[str, Balance]:
    """Return balances with those of the accounts that stand for a common one added to its own."""
    sums: dict[str, Balance] = defaultdict(Balance)
    commons = common()
    for code, balance in found.items():
        place = commons.get(code, code)
        sums[place] = sums[place].plus(balance)
    return dict(sums)


def must_be_clear(accounts: Iterable[Account]) -> None:
    """Raise Refused where two accounts stand for the same common one, or one for none."""
    for account in accounts:
        if account.stands_for_id is None:
            raise Refused(f"{account} stands for no common account.", field="accounts")
    places = Counter(account.stands_for_id for account in accounts)
    for code, times in places.items():
        if times > 1:
            names = ", ".join(str(account) for account in accounts if account.stands_for_id == code)
            raise Refused(f"Choose one of {names}: each stands for {code}.", field="accounts")


def must_be_open(profile: PostingProfile) -> None:
    """Hold a profile whose accounts are to change. Raises Refused once they are fixed."""
    locked = PostingProfile.objects.select_for_update()
    if profile.pk and locked.get(pk=profile.pk).is_fixed:
        raise Refused(
            f"Approved terms rely on {profile}: its accounts stay. Make a new profile.",
            field="accounts",
        )


def fix(profile: PostingProfile, *, by, reason: str) -> None:
    """Fix the accounts of a profile for ever, as part of a decision that relies on them.

    Raises Refused where they are unclear.
    """
    profile = PostingProfile.objects.select_for_update().get(pk=profile.pk)
    must_be_clear(list(profile.accounts.all()))
    if not profile.is_fixed:
        profile.is_fixed = True
        profile._history_user, profile._change_reason = by, reason[:100]
        profile.save(update_fields=["is_fixed"])
