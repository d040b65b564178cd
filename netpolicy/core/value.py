"""What is wrong with a value that a person wrote.

The only error that core raises for user input. Never carries a position: the front
end that read the value knows file and line and turns this into a diagnostic.
"""


class ValueProblem(Exception):
    """`text` says what is wrong, `hint` (maybe empty) what to write instead."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
