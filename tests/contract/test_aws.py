"""Limits of CloudFormation that cfn-lint does not check, and GitHub's role in the cluster."""

import re

import pytest
import yaml
from cfnlint.decode import cfn_yaml

from deploy.aws import stacks
from tests.manifests import render

TEMPLATES = sorted(path.stem for path in stacks.TEMPLATES.glob("*.yaml"))


@pytest.fixture(params=TEMPLATES)
def path(request):
    return stacks.TEMPLATES / f"{request.param}.yaml"


def test_order_lists_every_template():
    assert sorted(stacks.ORDER) == TEMPLATES


def test_template_has_no_yaml_alias(path):
    """CloudFormation refuses YAML's anchors and aliases."""
    events = yaml.parse(path.read_text())
    assert not [each for each in events if getattr(each, "anchor", None)]


def test_template_fits_into_a_request(path):
    assert len(path.read_bytes()) <= 51_200


def test_imports_are_exported_before():
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


def test_github_has_one_group_and_no_eks_policy():
    template = cfn_yaml.load(str(stacks.TEMPLATES / "identities.yaml"))
    kinds = {name: each["Type"] for name, each in template["Resources"].items()}
    (entry,) = [name for name, kind in kinds.items() if kind == "AWS::EKS::AccessEntry"]
    properties = template["Resources"][entry]["Properties"]
    assert properties["KubernetesGroups"] == ["sentiment-deployers"]
    assert "AccessPolicies" not in properties


@pytest.mark.parametrize(
    ("repository", "accepted"),
    [
        ("", True),
        ("acme/sentiment", True),
        ("acme-labs/Sentiment_2.0", True),
        # repositories created after 2026-07-15
        ("acme@123456/sentiment@456789", True),
        ("acme/sentiment@456789", False),
        ("acme@123456/sentiment", False),
        ("acme@*/sentiment@*", False),
        ("acme@123456/sentiment@456789:environment:release", False),
        ("acme", False),
        ("https://github.com/acme/sentiment", False),
    ],
)
def test_repository_is_named_as_in_its_tokens(repository: str, accepted: bool):
    template = cfn_yaml.load(str(stacks.TEMPLATES / "identities.yaml"))
    pattern = template["Parameters"]["GitHubRepository"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, repository)) is accepted


def test_a_group_of_machines_reaches_the_private_endpoint():
    resources = cfn_yaml.load(str(stacks.TEMPLATES / "cluster.yaml"))["Resources"]
    (rule,) = [
        each["Properties"]
        for each in resources.values()
        if each["Type"] == "AWS::EC2::SecurityGroupIngress"
    ]
    assert rule["GroupId"] == {"Fn::GetAtt": ["Cluster", "ClusterSecurityGroupId"]}
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)
    (source, attribute) = rule["SourceSecurityGroupId"]["Fn::GetAtt"]
    assert attribute == "GroupId"
    assert resources[source]["Type"] == "AWS::EC2::SecurityGroup"
    assert "SecurityGroupIngress" not in resources[source]["Properties"]


def test_database_leaves_a_snapshot():
    database = cfn_yaml.load(str(stacks.TEMPLATES / "mlflow.yaml"))["Resources"]["Database"]
    assert database["DeletionPolicy"] == database["UpdateReplacePolicy"] == "Snapshot"


@pytest.fixture(scope="module")
def bindings() -> list[dict]:
    """The Roles of the overlay that are bound to the group, each with its binding."""
    documents = [each for each in render("production") if "Role" in each["kind"]]
    roles = {each["metadata"]["name"]: each for each in documents if each["kind"] == "Role"}
    return [
        roles[each["roleRef"]["name"]] | {"binding": each}
        for each in documents
        if any(s["name"] == "sentiment-deployers" for s in each.get("subjects", []))
    ]


@pytest.mark.parametrize(
    ("verb", "group", "resource", "granted"),
    [
        ("get", "serving.kserve.io", "inferenceservices", True),
        ("patch", "serving.kserve.io", "inferenceservices", True),
        ("create", "coordination.k8s.io", "leases", True),
        ("watch", "apps", "deployments", True),
        ("create", "", "pods/portforward", True),
        ("delete", "serving.kserve.io", "inferenceservices", False),
        ("patch", "serving.kserve.io", "clusterservingruntimes", False),
        ("patch", "apps", "deployments", False),
        ("create", "", "pods", False),
        ("create", "", "pods/exec", False),
        ("get", "", "secrets", False),
        ("patch", "", "namespaces", False),
        ("patch", "", "serviceaccounts", False),
        ("patch", "networking.k8s.io", "networkpolicies", False),
        ("create", "rbac.authorization.k8s.io", "rolebindings", False),
    ],
)
def test_github_may_deploy_and_no_more(bindings, verb, group, resource, granted):
    assert [each["binding"]["kind"] for each in bindings] == ["RoleBinding"]
    assert bindings[0]["binding"]["metadata"]["namespace"] == "sentiment"
    allowed = any(
        {verb, "*"} & set(rule["verbs"])
        and {group, "*"} & set(rule["apiGroups"])
        and {resource, "*"} & set(rule["resources"])
        for rule in bindings[0]["rules"]
    )
    assert allowed is granted
