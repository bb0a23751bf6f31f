"""``kindling init``: a small project that runs at once."""

from __future__ import annotations

import re
from pathlib import Path

import click

from kindling_core.cli.context import CommandContext

JOB_FILE = """\
[job]
name = "{name}"
modules = ["{package}.entities", "{package}.pipes"]
features = ["entities"]

[entities]
engine = "embedded"
root = "./lake"
"""

ENTITIES = '''\
"""The tables of this job."""

from kindling_entities import Entities

entities = Entities()

entities.source(
    "raw.orders",
    path="data/orders.csv",
    provider="csv",
    columns={"order_id": "bigint", "customer": "string", "amount": "double", "day": "date"},
)
entities.entity("silver.orders", keys=["order_id"], description="orders with a known amount")
entities.entity("gold.customers", keys=["customer"], description="what each customer spent")
'''

PIPES = '''\
"""The pipes of this job: plain functions, DataFrame in, DataFrame out."""

from kindling_core import Pipes
from pyspark.sql import functions as F

pipes = Pipes()


@pipes.pipe("silver.orders", inputs=["raw.orders"], output="silver.orders")
def clean_orders(raw_orders):
    return raw_orders.where("amount is not null").dropDuplicates(["order_id"])


@pipes.pipe("gold.customers", inputs=["silver.orders"], output="gold.customers")
def spending_by_customer(silver_orders):
    return silver_orders.groupBy("customer").agg(
        F.count("order_id").alias("orders"),
        F.sum("amount").alias("spent"),
    )
'''

ORDERS = """\
order_id,customer,amount,day
1,Ada,19.5,2026-01-03
2,Grace,7.25,2026-01-03
3,Ada,,2026-01-04
4,Edsger,112.0,2026-01-05
5,Grace,3.75,2026-01-05
"""

README = """\
# {name}

    kindling run                    # run the job
    kindling show gold.customers    # look at a table
    kindling columns raw.orders     # the types that a source could declare
    kindling graph                  # how the pipes depend on each other
    kindling plan                   # what would run, and in which order
    kindling doctor                 # what would stop a run
"""

FILES = {
    "kindling.toml": JOB_FILE,
    "{package}/__init__.py": "",
    "{package}/entities.py": ENTITIES,
    "{package}/pipes.py": PIPES,
    "data/orders.csv": ORDERS,
    "README.md": README,
    ".gitignore": "lake/\n*.state.db*\n__pycache__/\n",
}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("."))
@click.option("--name", help="The job's name (default: the folder's).")
@click.pass_obj
def init(context: CommandContext, folder: Path, name: str | None) -> None:
    """Make a project in FOLDER (default: here) that runs at once; never overwrites a file."""
    name = name or folder.resolve().name
    package = re.sub(r"\W", "_", name).lower().strip("_") or "job"
    if package[0].isdigit():
        package = f"job_{package}"
    texts = {folder / _fill(path, name, package): _fill(text, name, package) for path, text in FILES.items()}
    existing = [str(path) for path in texts if path.exists()]
    if existing:
        raise click.UsageError(f"These files exist and are kept: {', '.join(existing)}. Choose another folder.")
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be written: {error.strerror}.") from error
    where = "" if folder == Path(".") else f"cd {folder} && "
    context.console.print(f"Made {len(texts)} files. Next: {where}kindling run", markup=False)


def _fill(text: str, name: str, package: str) -> str:
    return text.replace("{name}", name.replace('"', "'")).replace("{package}", package)
