"""Customers of the story whom others brought: one reward is approved, the next one waits."""

from datetime import date, timedelta
from functools import partial

from lms.backoffice.demo import plans
from lms.backoffice.demo.people import Persona
from lms.backoffice.demo.plans import Plan
from lms.backoffice.demo.story import Story
from lms.customers.models import Customer
from lms.referrals import operations as referrals
from lms.referrals.models import ReferralReward

ENDED = range(2, 34)  # days ago: what the nights that are closed still look back on
STILL_RUNNING = 4  # who were brought too, and have not paid back yet


def plan(story: Story) -> None:
    """Plan who is said to have brought whom, and the decision on one of the rewards."""
    ended = [first for first in story.firsts if _days_since(first[0], story.today) in ENDED]
    running = [first for first in story.firsts if first[0].fate == "active"][-STILL_RUNNING:]
    for number, (_, persona, applied_on) in enumerate(ended + running):
        story.plan(applied_on, 8.5, partial(_record, story, persona, number))
    story.plan(story.today - timedelta(days=2), 16, partial(_approve, story))


def _days_since(planned: Plan, today: date) -> int:
    """Return how many days ago a loan was to be paid back; less than none for others."""
    if planned.fate != "closed":
        return -1
    length = plans.term_days(planned.product, planned.repayments)
    return (today - planned.disbursed_on).days - length


def _record(story: Story, persona: Persona, number: int, on: date) -> None:
    """Let the officer write down that an early customer of the branch brought this one."""
    team = story.office.teams[persona.branch]
    early = Customer.objects.filter(branch=team.branch, pk__lt=persona.record.pk, kind="individual")
    referrer = early.order_by("pk")[number // 2 : number // 2 + 1].first()
    persona.record = referrals.set_referrer(
        persona.record, referrer=referrer, by=team.officer, on=on
    )


def _approve(story: Story, on: date) -> None:
    """Let a manager approve the latest reward that waits."""
    if reward := ReferralReward.objects.waiting().order_by("pk").last():
        team = story.office.teams[reward.referrer.branch.code]
        referrals.approve(reward, by=team.manager, on=on)
