"""Prices of Jobs are what the Hub lists."""

LIST = """
from huggingface_hub import HfApi
from seal_datasets.hub.job_prices import job_prices
print("\\n".join(job_prices(HfApi())))
"""


def test_flavors_are_listed_by_price_per_hour(hub, hub_client):
    listed = hub_client(LIST, token=None)
    assert listed.stdout.splitlines() == [
        "flavor     cpu     memory  accelerator    dollars per hour",
        "cpu-basic  2 vCPU  16 GB   -              0.03",  # 500 millionths of a dollar a minute, times 60
        "l4x1       8 vCPU  30 GB   1x L4 (24 GB)  1.20",
    ], listed.stderr


def test_an_unknown_unit_is_no_price(hub, hub_client):
    flavor = {"name": "x", "prettyName": "x", "cpu": "1", "ram": "1", "unitCostMicroUSD": 1, "unitCostUSD": 1.0}
    hub.fault("GET", "/api/jobs/hardware", status=200, body=[flavor | {"unitLabel": "month"}])
    assert hub_client(LIST).stdout.split()[-1] == "unknown"


def test_an_answer_of_another_form_is_an_error_and_no_traceback(hub, hub_client):
    hub.fault("GET", "/api/jobs/hardware", status=200, body=[{"name": "x"}])
    assert "did not answer" in hub_client(LIST).stderr
