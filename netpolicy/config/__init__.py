"""Front ends: text in UCI (later YAML and DSL) to the one Ruleset, with diagnostics.

Never touches the kernel.
"""
