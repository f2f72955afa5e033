"""What CloudFormation takes and cfn-lint does not say, and what GitHub is given in the cluster."""

import pytest
import yaml
from cfnlint.decode import cfn_yaml

from pipelines import stacks

TEMPLATES = sorted(path.stem for path in stacks.TEMPLATES.glob("*.yaml"))


@pytest.fixture(params=TEMPLATES)
def path(request):
    return stacks.TEMPLATES / f"{request.param}.yaml"


def test_every_template_has_its_turn():
    assert sorted(stacks.ORDER) == TEMPLATES


def test_no_alias(path):
    """CloudFormation refuses YAML's anchors and aliases."""
    events = yaml.parse(path.read_text())
    assert not [each for each in events if getattr(each, "anchor", None)]


def test_it_is_small_enough_to_be_sent(path):
    assert len(path.read_bytes()) <= 51_200


def test_what_is_imported_is_exported_before():
    exported: set[str] = set()
    for name in stacks.ORDER:
        template = cfn_yaml.load(str(stacks.TEMPLATES / f"{name}.yaml"))
        assert imports(template["Resources"]) <= exported, name
        outputs = template.get("Outputs", {}).values()
        exported |= {each["Export"]["Name"] for each in outputs if "Export" in each}


def imports(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["Fn::ImportValue"]} if "Fn::ImportValue" in value else set()
        return own.union(*map(imports, value.values()))
    return set().union(*map(imports, value)) if isinstance(value, list) else set()


def test_github_is_in_one_group_of_the_cluster_and_has_no_policy_of_eks():
    template = cfn_yaml.load(str(stacks.TEMPLATES / "identities.yaml"))
    kinds = {name: each["Type"] for name, each in template["Resources"].items()}
    (entry,) = [name for name, kind in kinds.items() if kind == "AWS::EKS::AccessEntry"]
    properties = template["Resources"][entry]["Properties"]
    assert properties["KubernetesGroups"] == ["sentiment-deployers"]
    assert "AccessPolicies" not in properties
