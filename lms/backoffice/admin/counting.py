"""Counting notes and coins: the fields of a form, with the sum beside them as it is typed."""

from django import forms
from django.forms.forms import DeclarativeFieldsMetaclass
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from lms.tills.denominations import FACES, NOTES

MOST_PIECES = 100_000


def _field(face: int) -> forms.IntegerField:
    return forms.IntegerField(
        label=f"{'Notes' if face in NOTES else 'Coins'} of KES {face:,}",
        min_value=0,
        max_value=MOST_PIECES,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget(
            attrs={"data-face": face, "inputmode": "numeric", "autocomplete": "off"}
        ),
    )


FIELDS = tuple(f"of_{face}" for face in FACES)
_Counted = DeclarativeFieldsMetaclass(
    "Counted",
    (forms.Form,),
    {name: _field(face) for name, face in zip(FIELDS, FACES, strict=True)},
)


class CountFields(_Counted):
    """One field for each note and coin; the answers become one: `pieces`."""

    def clean(self) -> dict:
        answers = super().clean() or self.cleaned_data
        pieces = {face: answers.pop(f"of_{face}", None) for face in FACES}
        return {**answers, "pieces": pieces}
