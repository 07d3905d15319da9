"""The one exception that is an answer."""


class Refused(Exception):
    """An operation said no. The text is a whole sentence that staff can act upon.

    `field` names the form field or column at fault, where there is one.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
