"""The defects: which acceptance test each must turn red, and the text that makes it.

A test of the suite checks that every text is still found exactly once; `make mutants` runs them.
"""

from __future__ import annotations

from dataclasses import dataclass

GUARD = "files/usr/lib/netpolicy/guard"
SERVICE = "netpolicy/service/"
CONFIRMATION, DEATHS, STATE, STORE, BESIDE = (
    f"tests/acceptance/test_{name}.py" for name in ("confirmation", "deaths", "state", "store", "beside")
)
BOOT, BOOT_SETS = "tests/kernel/test_boot_leaks.py", "tests/kernel/test_boot_sets.py"


@dataclass(frozen=True)
class Mutant:
    """One defect. `edits`: file, text that stands there once, text in its place; `test`: file and words for -k."""

    name: str
    number: int
    test: tuple[str, str]
    edits: tuple[tuple[str, str, str], ...]


def mutant(number: int, name: str, file: str, words: str, *edits: tuple[str, str, str]) -> Mutant:
    return Mutant(name, number, (file, words), edits)


MUTANTS = (
    mutant(1, "a lock-out is no reason to refuse", CONFIRMATION, "test_01",
           (SERVICE + "change_run.py", "if found and not change.request.force", "if False")),
    mutant(1, "who came in by a line is rehearsed on another", CONFIRMATION, "test_01",
           (SERVICE + "witness.py", "who = [_where_it_came_in(peer, engine, sight) for peer in found]", "who = found")),
    mutant(2, "the deadline is an hour later", CONFIRMATION, "test_02",
           (SERVICE + "change_run.py", "left = self.change.deadline - uptime()",
            "left = self.change.deadline - uptime() + 3600")),
    mutant(3, "the guard does not look after the daemon", DEATHS, "test_03_what_has_died",
           (GUARD, "elif ! applier_is_alive; then\n\t\t\tdecide", "elif false; then\n\t\t\tdecide")),
    mutant(6, "the current generation changes before the verdict", DEATHS, "test_06 and confirm",
           (SERVICE + "way_back.py", "    change.token = f",
            "    tools.store.commit(undo.number)\n    change.token = f")),
    mutant(4, "nobody replaces a guard that died", DEATHS, "test_04_a_guard",
           (SERVICE + "change_run.py", "await guard.ensure_alive()", "pass")),
    mutant(5, "a start asks nobody what was left", DEATHS, "test_05_with",
           ("netpolicy/daemon/process.py", "left = await recovery.recover(guard, Store(self._places.store), self._log)",
            "left = recovery.Left()")),
    mutant(5, "a daemon that hangs is waited for", DEATHS, "test_05_a_daemon",
           (GUARD, 'elif late="${late:-$up}" && [ "$up" -ge $((late + GRACE_SECONDS)) ]', "elif false")),
    mutant(6, "a boot leaves the configuration as it stands", DEATHS, "test_06 and confirm",
           (GUARD, "roll_config_back || file_word", ": || file_word")),
    mutant(7, "an old session is believed", CONFIRMATION, "test_07",
           ("netpolicy/flows/evidence.py", "    if then is None:\n        return False",
            "    if True:\n        return False")),
    mutant(8, "only addresses of before are believed", CONFIRMATION, "test_08",
           ("netpolicy/flows/evidence.py", "    if not found.is_established:\n        return Refusal(",
            "    if not found.is_established or found.destination not in before.own:\n        return Refusal(")),
    mutant(9, "probes say nothing", CONFIRMATION, "test_09",
           (SERVICE + "change_run.py", "        if worse:\n", "        if False:\n")),
    mutant(10, "a probe that failed before is required", CONFIRMATION, "test_10",
           ("netpolicy/outbounds/check.py", "then is not None and check.state == PASSED and not",
            "then is not None and not")),
    mutant(11, "the way back counts from nothing", STATE, "test_11 and daemon",
           (SERVICE + "way_back.py", "remember_counters(undo.counters)", "remember_counters({})")),
    mutant(12, "the guard begins with an empty kernel", STATE, "test_12 and guard",
           (GUARD, """clear="$(printf 'add table %s\\ndelete table %s\\n' "$TABLE" "$TABLE")\"""",
            'clear="flush ruleset"')),
    mutant(13, "the way back removes bridges", STATE, "test_13 and guard",
           (GUARD, "remove_routing() {\n\tlocal family batch\n",
            "remove_routing() {\n\tlocal family batch\n\tip link delete br-old type bridge\n")),
    mutant(14, "the same once more is a change", STATE, "test_14",
           (SERVICE + "planning.py", "change.state = UNCHANGED if is_same", "change.state = CHECKED if is_same")),
    mutant(15, "rules of the kernel stay", STATE, "test_15",
           ("netpolicy/dataplane/route_steps.py", "for rule in self._change.delete_rules:", "for rule in ():")),
    mutant(16, "old goes before new comes", STATE, "test_16",
           (SERVICE + "in_force.py", "            await self.kernel.apply(plan)\n",
            "            await self.kernel.remove()\n            plan = await self.kernel.plan(plan.policy)\n"
            "            await self.kernel.apply(plan)\n")),
    mutant(17, "two changes at a time", CONFIRMATION, "test_17_of_two",
           (SERVICE + "guarded.py", "if last is not None and self._task is not None and not self._task.done():",
            "if False:")),
    mutant(18, "a guard on a full disk writes nothing down", STORE, "test_18_a_disk and daemon",
           (GUARD, '[ "$status" -eq 0 ] || ln "$PENDING/.revert" "$PENDING/verdict" 2>/dev/null && status=0', ":"),
           (GUARD, 'ln "$PENDING/.$1" "$PENDING/outcome"', ":")),
    mutant(18, "a full disk is found out when the kernel is changed already", STORE, "test_18_on",
           (SERVICE + "generations.py",
            "        durable.replace(os.path.join(self._folder, LAST), _text(number))\n", ""),
           (SERVICE + "generations.py", "            _remove_tree(temporary)\n            raise",
            "            return number"),
           ("netpolicy/dataplane/guard_files.py",
            "        raise OSError(error.errno, error.strerror, str(path)) from error", "        return")),
    mutant(19, "a way back is not tried", STORE, "test_19_a_way",
           ("netpolicy/dataplane/guard_trial.py", "how = await _try(program, guard, fresh, candidate)",
            'how = "namespace"')),
    mutant(19, "rescue leaves everything as it stands", STORE, "test_19_a_bundle",
           (GUARD, "rescue() {\n\tlocal family text", "rescue() {\n\treturn 0\n\tlocal family text")),
    mutant(20, "boots are not counted", STORE, "test_20", (GUARD, "UNHEALTHY_BOOTS=2", "UNHEALTHY_BOOTS=99")),
    mutant(21, "healed for ever", STORE, "test_21_what", (SERVICE + "drift.py", "MOST_HEALS = 2", "MOST_HEALS = 200")),
    mutant(21, "never healed", STORE, "test_21_what",
           (SERVICE + "engine.py", "if drift is not None and drift.treatment != HEAL:", "if drift is not None:")),
    mutant(22, "every journal is fine", STORE, "test_22",
           ("netpolicy/observe/journal.py", "return Verdict(not why, ", "return Verdict(True, ")),
    mutant(24, "queues are the daemon's alone", BESIDE, "test_24_queues",
           (GUARD, "\tput_queues\n\tswitch_table", "\tswitch_table")),
    mutant(24, "queues of the candidate stay", BESIDE, "test_24_queues",
           (GUARD, "\tremove_routing\n\tremove_queues\n", "\tremove_routing\n")),
    mutant(24, "whatever queue stands there is replaced", BESIDE, "test_24_where",
           ("netpolicy/dataplane/queue_lines.py", "qdisc add {device}", "qdisc replace {device}")),
    mutant(24, "nobody looks whether a limit is held", BESIDE, "test_24_where",
           (GUARD, "hold_limits() {\n", "hold_limits() {\n\treturn 0\n")),
    mutant(25, "dnsmasq's file is the daemon's alone", BESIDE, "test_25 and guard",
           (GUARD, "\tput_names_back \"$BUNDLE/names\"\n", "")),
    mutant(25, "dnsmasq goes on with what it has read", BESIDE, "test_25 and guard",
           (GUARD, "\tstart_name_server </dev/null", "\t: </dev/null")),
    mutant(25, "a change does not wait for dnsmasq", BESIDE, "test_25 and daemon",
           (SERVICE + "change_run.py", "error = await tools.names.followed(self._undo.refused)", "pass")),
    mutant(25, "a way back does not wait for dnsmasq", BESIDE, "test_25 and daemon",
           (SERVICE + "way_back.py", "return await tools.names.followed(undo.refused) if", "return \"\" if")),
    mutant(25, "what was learned is forgotten on the way back", BESIDE, "test_25 and guard",
           (GUARD, "load_all learned ||", ": ||")),
    mutant(26, "a boot leaves what is sealed to the daemon", BOOT, "test_from_the_first_packet",
           (GUARD, "local number folder family status whole=yes", "return 0")),
    mutant(26, "a boot seals by the table alone", BOOT, "test_the_routing_alone",
           (GUARD, "\tfor family in 4 6; do\n\t\t[ -f \"$folder/ip$family\" ]",
            "\tfor family in; do\n\t\t[ -f \"$folder/ip$family\" ]")),
    mutant(26, "long lists are the daemon's alone", BOOT_SETS, "test_what_a_long_list_seals",
           (GUARD, "\tfill_lists \"$folder\" || status=1\n", "")),
    mutant(26, "addresses that names had are forgotten at a boot", BOOT_SETS, "test_addresses_that_a_name_had",
           (GUARD, "\tfill_names \"$folder\" || status=1\n", "")),
    mutant(26, "what was cut on the flash is whole", BOOT_SETS, "test_a_text_that_was_cut",
           (GUARD, "\tsha256sum -c sums >/dev/null 2>&1", "\ttrue")),
    mutant(23, "gateways are asked by IPv4 alone", CONFIRMATION, "test_09 and 6",
           ("netpolicy/outbounds/check.py", "for hop in line.hops if hop.gateway\n",
            "for hop in line.hops if hop.gateway and hop.family == 4\n")),
    mutant(23, "who administers by IPv6 is not rehearsed", CONFIRMATION, "test_01 and 6",
           (SERVICE + "witness.py", "for peer in found]", 'for peer in found if ":" not in peer.source]')),
)  # fmt: skip
