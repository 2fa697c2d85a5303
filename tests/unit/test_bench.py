"""The benchmark's page and charts, of results as the benchmark writes them."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from bench import charts, lifecycle, report, usage, workload
from bench.lifecycle import Measured
from bench.usage import Usage
from bench.workload import KINDS, OWN, SHARED
from model.config import tenants, yaml_lines

SVG = "{http://www.w3.org/2000/svg}"


def run(kind: str, count: int) -> dict[str, Any]:
    samples = {"source-controller": [(float(at), 80.0 + at, 0.5) for at in range(1000)], "etcd": [(1.0, 40.0, 0.1)]}
    found = Measured(
        kind,
        count,
        seconds={lifecycle.FIRST_UP: 30.0, lifecycle.PUSH: 2.5, lifecycle.PREVIEW: 8.0},
        flat={lifecycle.FIRST_UP: 20.0, lifecycle.PREVIEW: 4.0} if kind == SHARED else {},
        kubectl={lifecycle.FIRST_UP: 10.0} if kind == SHARED else {},
        resources={"tenant-0000": "8 and 1 components: Namespace"},
        state={"whole": 2500.0, "largest stack": 2500.0, "one tenant": 34.2, "largest object": 164.0},
        largest="ConfigMap flux-watchdog",
        clones=1 if kind == SHARED else count,
        memory={"source-controller": 1079.0},
        usage=Usage(samples, [(0.0, "first up"), (30.0, "no-op preview")]),
    )
    return {**asdict(found), "alone": {"program": 3.0, "flat": 2.0}, "machine": MACHINE}


MACHINE = {"cores": 2, "memory": 24, "system": "Linux x86_64", "load": 0.1, "date": "2026-11-26", "commit": "abc1234"}
RESULTS = {"runs": [run(kind, 10) for kind in KINDS]}


def test_the_page_names_every_figure_and_its_ratio_to_the_floor() -> None:
    page, _ = report.figures(RESULTS)
    assert "| first up | 30.0 | 20.0 (x 1.50) | 10.0 (x 3.00) |" in page
    assert "| the program alone, under mocks | 3.0 | 2.0 (x 1.50) |  |" in page
    assert "| 10 | shared product | 8 and 1 components | 34.2 | 1 | 1079.0 | 2.5 |\n| 10 | own sources | 8 " in page
    assert "2500 kB in 1 stack, of which the largest has 2500 kB; 34.2 kB for each tenant." in page
    assert "The largest object is ConfigMap flux-watchdog with 164 kB." in page


def test_the_page_says_which_aims_are_met() -> None:
    faults = {"tenants": 200, "kills": {"gitserver": 9, "kube-apiserver": 11}, "updates": 4, "seconds": 300.0}
    page, _ = report.figures({"runs": [run(SHARED, 100)], "faults": faults})
    assert "| no-op preview | 100 | 1.2 x flat program | 8.0 s (x 2.00) | no |" in page
    assert "| first up | 100 | 1.5 x flat program | 30.0 s (x 1.50) | yes |" in page
    assert "20 kills (gitserver 9, kube-apiserver 11), 4 runs of `pulumi up`, all 200 ready after 300 s" in page
    assert "| destroy | 100" not in page


def test_cpu_seconds_are_counted_by_step() -> None:
    page, _ = report.figures({"runs": [run(SHARED, 10)]})
    # Half a core from second 0 to second 30; what follows belongs to the next step.
    assert "| source-controller | 15.0 | 484.5 |" in page


def test_every_chart_of_the_page_is_drawn_and_every_drawn_one_shown() -> None:
    page, drawings = report.figures(RESULTS)
    assert set(re.findall(r"\((img/.*?\.svg)\)", page)) == drawings.keys()
    for drawing in drawings.values():
        ElementTree.fromstring(drawing)


def test_a_run_without_the_other_kind_is_not_compared() -> None:
    assert "own sources compared" not in report.figures({"runs": RESULTS["runs"][:1]})[0]


def test_bars_are_as_long_as_their_values() -> None:
    drawing = charts.bars("a < b", "s", {"first": {"program": 30.0, "floor": 15.0}, "second": {"program": 7.5}})
    widths = [float(one.attrib["width"]) for one in ElementTree.fromstring(drawing).iter(f"{SVG}rect")][3:]
    assert [width / widths[0] for width in widths] == pytest.approx([1, 0.5, 0.25], abs=0.001)


def test_lines_keep_the_highest_value() -> None:
    found = report.figures({"runs": [run(SHARED, 10)]})[1]["img/scale-shared-10-memory.svg"]
    lines = [one.attrib["points"].split() for one in ElementTree.fromstring(found).iter(f"{SVG}polyline")]
    assert [len(line) for line in lines] == [200, 1]
    assert lines[0][-1].endswith(f",{charts.TOP}.0")


@pytest.mark.parametrize("kind", KINDS)
def test_the_measured_tenants_are_what_the_program_accepts(kind: str) -> None:
    names = workload.names(20)
    text = workload.tenants_yaml(kind, names, pods=21, departed=["added"])
    listed = tenants.parse(yaml_lines.parse(text, "tenants.yaml"))
    assert [tenant.name for tenant in listed.tenants] == names
    assert {tenant.quota["pods"] for tenant in listed.tenants} == {"21"}
    private = workload.keys(kind, names)
    assert [key.holder for key in private] == (["shop"] if kind == SHARED else ["tenant-0009", "tenant-0019"])
    objects = list(yaml.safe_load_all(workload.objects(kind, names, [], private)))
    kinds = [one["kind"] for one in objects]
    assert kinds.count("GitRepository") == (1 if kind == SHARED else 20)
    assert kinds.count("Kustomization") == kinds.count("LimitRange") == 20
    assert kinds.count("Secret") == len(private)
    namespaces = {one["metadata"]["name"] for one in objects if one["kind"] == "Namespace"}
    assert {one["metadata"]["namespace"] for one in objects if one["kind"] != "Namespace"} == namespaces
    assert len(workload.reading(OWN, names, "stefanprodan/podinfo")) == 18


RUN_MODULE = "import sys, runpy; sys.path.insert(0, '/checkout'); runpy.run_module('standins.{}', run_name='__main__')"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/home/bin/pulumi", "up", "--yes"], "pulumi"),
        (
            ["/plugins/resource-kubernetes-v4.34.2/pulumi-resource-kubernetes", "127.0.0.1:1"],
            "pulumi-resource-kubernetes",
        ),
        (["/venv/bin/python", "-P", "-c", RUN_MODULE.format("github")], "pulumi-resource-github"),
        (["/venv/bin/python", "-P", "-c", RUN_MODULE.format("python.language_host")], "program"),
        (["/venv/bin/python", "-P", "/checkout/standins/python/run_program.py", "{}"], "program"),
        (["git", "fetch", "pulumi"], None),
        ([], None),
    ],
)
def test_a_process_of_pulumi_is_known_by_its_command_line(command: list[str], name: str | None) -> None:
    assert usage.of_pulumi(command) == name
