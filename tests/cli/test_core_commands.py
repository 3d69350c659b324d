import json

from hinged import kernels
from hinged.installation import describe_installation
from tests.cli.run_command import run


def test_info_prints_the_installation_as_text_or_json():
    facts = json.loads(run("info", "--json").stdout)
    assert facts == describe_installation() and facts["kernel"] == kernels.describe_kernel()
    lines = run("info").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(facts)
