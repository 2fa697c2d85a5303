"""`./saas`: the platform team's command line."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import typer

from cli import backup, keys, milestones, restore, rollout, shards, status, tenants, users
from cli.errors import CommandError
from cli.yaml_edit import EditError
from model.config.errors import InvalidConfigError

app = typer.Typer(
    no_args_is_help=True,
    # Plain help: examples keep their line ends, and a pipe gets no frames.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Edit and show the SaaS' tenants. Files are changed, nothing is deployed: that is `pulumi up`, or a merge.",
)
tenants.app.command()(backup.backup)
tenants.app.command()(restore.check_backup)
tenants.app.command()(milestones.status)
tenants.app.command()(users.users)
app.add_typer(tenants.app, name="tenant")
app.add_typer(rollout.app, name="rollout")
app.add_typer(keys.app, name="keys")
app.add_typer(shards.app, name="shard")
app.command()(status.status)


def main() -> None:
    """Run a command; errors that say what to do are printed without a traceback, with --json as JSON."""
    try:
        app(prog_name="saas")
    except (CommandError, EditError, InvalidConfigError) as error:
        if "--json" in sys.argv:
            problems = [asdict(problem) for problem in getattr(error, "problems", ())]
            print(json.dumps({"error": str(error), "problems": problems}, indent=2, ensure_ascii=False))
        else:
            typer.echo(f"{typer.style('error:', fg='red')} {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
