"""What reading a configuration gives: the rule set, and whether it may replace a running one.

A value alone, so that who takes one need not hold what reads files. Never decides what a text means
(assemble.py does). Runs on MicroPython.
"""

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.config.diagnostic import Diagnostic
    from netpolicy.config.source import Section, SourceFile
    from netpolicy.core.model import Ruleset


class Loaded:
    """What a configuration says.

    `fatal`: do not use it, keep what is running: a file could not be read or breaks the
    syntax, the main section is missing or broken, or a rule or setting names a broken outbound.
    `blocked_skip`: a rule that blocks (or has on_fail block) is among the skipped: what it
    stopped would pass, so apply only when somebody insists. `sources`: the section that each
    (type, name) was read from, where it was asked for. `paths`: the main file and what it names,
    as far as files were looked for.
    """

    __slots__ = ("blocked_skip", "diagnostics", "fatal", "files", "paths", "ruleset", "skipped", "sources")

    def __init__(
        self,
        ruleset: "Ruleset",
        diagnostics: "tuple[Diagnostic, ...]",
        skipped: tuple[tuple[str, str], ...] = (),
        fatal: bool = False,
        blocked_skip: bool = False,
        sources: "dict[tuple[str, str], tuple[str, Section]] | None" = None,
        files: "tuple[SourceFile, ...]" = (),
        paths: tuple[str, ...] = (),
    ) -> None:
        self.paths = paths
        self.ruleset = ruleset
        self.diagnostics = diagnostics
        self.skipped = skipped  # (rule name, why)
        self.fatal = fatal
        self.blocked_skip = blocked_skip
        self.sources = sources or {}
        self.files = files
