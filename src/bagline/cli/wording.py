"""What the help says of commands before they are imported: summaries, and examples."""

from __future__ import annotations

SUMMARIES = {
    "ingest": "Take bags through the whole line, and say what was preserved where, or what is "
    "wrong.",
    "check": "Say everything that is wrong with a bag.",
    "restore": "Restore a preserved object as a valid bag, or some of its files.",
    "up": "Engines, workers, reconciler and bucket reader, until Ctrl-C.",
    "down": "Stop a running `bagline up` (items in work are handed back) and the engines.",
    "worker": "Work on items of the named stages.",
    "items": "Work items, newest first.",
    "show": "One work item: where it is, every problem of its bag, what was preserved.",
    "requeue": "Put an item back on the line: where it stopped, or at an earlier stage.",
    "cancel": "Call an item off: nothing of it is recorded, the depositor's tar stays.",
    "doctor": "Look at every service.",
    "spot": "Restore an object of each institution to nowhere, and check it whole.",
    "fixity": "Every preserved copy, read again and compared with its digest.",
    "deletions": "Deletions: asked for by one person, approved by another.",
    "audit": "Who did what, newest first: acts of people by the API and by commands.",
    "registry": "The Registry and its API.",
    "config": "Settings, as they are in force.",
    "completion": "Print what makes a shell complete commands, options and names.",
    "help": "Help for bagline, or for one of its commands.",
}
"""The first sentence of each command's help. One that is not here is imported to be listed."""

FIRST_EXAMPLES = "bagline check letters.tar\n  bagline ingest letters.tar\n  bagline items --watch"

EXAMPLES: dict[str, tuple[str, ...]] = {
    "ingest": (
        "bagline ingest letters.tar",
        "bagline ingest *.tar --institution test.edu",
        "bagline ingest letters.tar --json",
    ),
    "check": (
        "bagline check letters.tar",
        "bagline check --profile btr letters.tar",
        "bagline check - < letters.tar",
    ),
    "restore": (
        "bagline restore test.edu/letters",
        "bagline restore test.edu/letters data/1.tif -o restored",
        "bagline restore test.edu/letters -o s3://",
    ),
    "up": ("bagline up", "bagline up --institution test.edu --processes 4"),
    "down": ("bagline down",),
    "worker": ("bagline worker all", "bagline worker pre-fetch validator --threads 4"),
    "items": (
        "bagline items",
        "bagline items --status failed --since 3d",
        "bagline items --bag letters --watch",
    ),
    "show": ("bagline show 7",),
    "requeue": ("bagline requeue 7", "bagline requeue 7 --stage Receive --reason 'a new disk'"),
    "cancel": ("bagline cancel 7 --reason 'the depositor sent a newer one'",),
    "doctor": ("bagline doctor", "bagline doctor --orphans"),
    "spot": ("bagline spot run",),
    "spot run": ("bagline spot run --institution test.edu",),
    "spot status": ("bagline spot status",),
    "fixity": ("bagline fixity status",),
    "fixity status": ("bagline fixity status",),
    "fixity plan": ("bagline fixity plan",),
    "fixity run": ("bagline fixity run", "bagline fixity run --all --institution test.edu"),
    "fixity show": ("bagline fixity show test.edu/letters",),
    "fixity repair": ("bagline fixity repair --all",),
    "deletions": ("bagline deletions list",),
    "deletions request": ("bagline deletions request test.edu/letters --reason 'a duplicate'",),
    "deletions list": ("bagline deletions list",),
    "deletions show": ("bagline deletions show 3",),
    "deletions approve": ("bagline deletions approve 3",),
    "deletions refuse": ("bagline deletions refuse 3 --reason 'still wanted'",),
    "deletions certificate": ("bagline deletions certificate 7 -o certificate.json",),
    "audit": ("bagline audit", "bagline audit --subject 'work item 7'", "bagline audit --csv"),
    "registry": ("bagline registry institution add test.edu", "bagline registry serve"),
    "registry serve": ("bagline registry serve --host 127.0.0.1 --port 8080",),
    "registry user": ("bagline registry user list",),
    "registry user add": (
        "bagline registry user add workers@example.org --role worker",
        "bagline registry user add ann@test.edu --role institutional_admin --institution test.edu",
    ),
    "registry user disable": ("bagline registry user disable ann@test.edu",),
    "registry user list": ("bagline registry user list",),
    "registry key": ("bagline registry key list",),
    "registry key new": ("bagline registry key new ann@test.edu",),
    "registry key revoke": ("bagline registry key revoke ann@test.edu 2",),
    "registry key list": ("bagline registry key list",),
    "registry institution": ("bagline registry institution list",),
    "registry institution add": ("bagline registry institution add test.edu",),
    "registry institution list": ("bagline registry institution list",),
    "registry institution show": ("bagline registry institution show test.edu",),
    "config": ("bagline config show",),
    "config show": ("bagline config show", "bagline config show --json"),
    "completion": (
        "bagline completion bash > ~/.local/share/bash-completion/completions/bagline",
        "bagline completion zsh > ~/.zfunc/_bagline",
        "bagline completion fish > ~/.config/fish/completions/bagline.fish",
    ),
    "help": ("bagline help ingest", "bagline help registry user add"),
}
"""By a command's words. Each can be typed as it stands (a test does)."""
