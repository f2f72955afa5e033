"""moto's server, an emulator of AWS, with the parts of CloudFormation that our templates take.

What moto's CloudFormation lacks goes to moto's own EKS, IAM, S3 and Secrets Manager; of the types
in KEPT there is nothing to emulate but that they come and go. moto checks no permission.
"""

import json
import sys
from typing import Any

from moto.cloudformation.models import Change, CloudFormationBackend, Stack
from moto.cloudformation.parsing import get_model_list, get_model_map
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.common_models import CloudFormationModel
from moto.ec2.models import ec2_backends
from moto.eks.models import eks_backends
from moto.iam.models import Role, iam_backends
from moto.rds.models import rds_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.server import main  # noqa: F401

KEPT = (
    "AWS::Budgets::Budget",
    "AWS::EKS::AccessEntry",
    "AWS::EKS::Addon",
    "AWS::SecretsManager::SecretTargetAttachment",
)


class Resource(CloudFormationModel):
    """A resource of CloudFormation: its identifier, its attributes and how it goes."""

    def __init__(self, identifier: str, attributes: dict[str, str], gone: Any) -> None:
        self.physical_resource_id = identifier
        self.attributes = attributes
        self.gone = gone

    def get_cfn_attribute(self, name: str) -> str:
        return self.attributes[name]

    def delete(self, account: str, region: str) -> None:
        self.gone()


def supported(kind: str, make: Any) -> None:
    """Teach moto a type; ``make`` takes a name, properties, account and region."""

    def create(cls, name: str, template: dict, account: str, region: str, **_: Any) -> Resource:
        return make(name, template["Properties"], account, region)

    methods = {
        "cloudformation_name_type": staticmethod(lambda: ""),
        "cloudformation_type": staticmethod(lambda: kind),
        "has_cfn_attr": classmethod(lambda cls, name: True),
        "create_from_cloudformation_json": classmethod(create),
        "update_from_cloudformation_json": classmethod(lambda cls, original_resource, **_: original_resource),  # noqa: E501
    }  # fmt: skip
    type(kind, (CloudFormationModel,), methods)


def kept(name: str, properties: dict, account: str, region: str) -> Resource:
    return Resource(name, {}, lambda: None)


def cluster(name: str, properties: dict, account: str, region: str) -> Resource:
    eks, ec2 = eks_backends[account][region], ec2_backends[account][region]
    vpc = next(vpc for vpc in ec2.vpcs.values() if not vpc.is_default)
    group = ec2.create_security_group("eks-cluster-sg", "of the cluster", vpc_id=vpc.id)
    made = eks.create_cluster(properties["Name"], properties["RoleArn"], {}, properties["Version"])

    def gone() -> None:
        eks.delete_cluster(made.name)
        ec2.delete_security_group(group_id=group.id)

    attributes = {
        "Arn": made.arn,
        "OpenIdConnectIssuerUrl": made.identity["oidc"]["issuer"],
        "ClusterSecurityGroupId": group.id,
    }
    return Resource(made.name, attributes, gone)


def nodes(name: str, properties: dict, account: str, region: str) -> Resource:
    eks = eks_backends[account][region]
    of, name = properties["ClusterName"], properties["NodegroupName"]
    scaling = {key[0].lower() + key[1:]: n for key, n in properties["ScalingConfig"].items()}
    eks.create_nodegroup(of, properties["NodeRole"], name, properties["Subnets"], scaling)
    return Resource(f"{of}/{name}", {}, lambda: eks.delete_nodegroup(of, name))


def provider(name: str, properties: dict, account: str, region: str) -> Resource:
    iam = iam_backends[account]["aws"]
    made = iam.create_open_id_connect_provider(
        properties["Url"], properties.get("ThumbprintList", []), properties["ClientIdList"], []
    )
    gone = iam.delete_open_id_connect_provider
    return Resource(made.arn, {"Arn": made.arn}, lambda: gone(made.arn))


def bucket_policy(name: str, properties: dict, account: str, region: str) -> Resource:
    s3, bucket = s3_backends[account]["aws"], properties["Bucket"]
    s3.put_bucket_policy(bucket, json.dumps(properties["PolicyDocument"]).encode())
    return Resource(bucket, {}, lambda: None)  # it goes with its bucket


def secret(name: str, properties: dict, account: str, region: str) -> Resource:
    secrets = secretsmanager_backends[account][region]
    wanted = properties["GenerateSecretString"]
    value = json.loads(wanted["SecretStringTemplate"]) | {wanted["GenerateStringKey"]: "generated"}
    key = properties["KmsKeyId"]
    name, text = properties["Name"], json.dumps(value)
    made = secrets.create_secret(name, text, None, None, [], key, None, [], False)
    arn = json.loads(made)["ARN"] if isinstance(made, str) else made["ARN"]
    return Resource(arn, {}, lambda: secrets.delete_secret(name, None, True))


def database(name: str, properties: dict, account: str, region: str) -> Resource:
    """moto's own knows no protection."""
    rds, name = rds_backends[account][region], properties["DBInstanceIdentifier"]
    rds.create_db_instance(
        {
            "db_instance_identifier": name,
            "engine": properties["Engine"],
            "engine_version": properties["EngineVersion"],
            "db_name": properties["DBName"],
            "db_instance_class": properties["DBInstanceClass"],
            "allocated_storage": int(properties["AllocatedStorage"]),
            "master_username": properties["MasterUsername"],
            "master_user_password": properties["MasterUserPassword"],
            "db_subnet_group_name": properties["DBSubnetGroupName"].name,
            "deletion_protection": properties["DeletionProtection"],
            "storage_encrypted": properties["StorageEncrypted"],
            "kms_key_id": properties["KmsKeyId"],
        }
    )
    return Resource(name, {}, lambda: rds.delete_db_instance(name, skip_final_snapshot=True))


def _put_policy(self: Any, name: str, document: Any) -> None:
    """Keep JSON, of which moto keeps Python's writing when it comes from a template."""
    _put(self, name, document if isinstance(document, str) else json.dumps(document, default=str))


def _delete_stack(self: Stack) -> None:
    """Delete its outputs too: moto makes again what an output of a deleted stack names."""
    _deleted(self)
    self.template_dict = {}
    self.output_map = self._create_output_map()


def _create_change_set(self: Any, *args: Any, **kwargs: Any) -> tuple[str, str]:
    """Know what other stacks export and which values are the defaults, as moto does not."""
    for stack in [each for each in self.stacks.values() if each.name == kwargs["stack_name"]]:
        if kwargs["change_set_type"] == "CREATE":  # of one that has had a change set only
            del self.stacks[stack.stack_id]
        else:
            values = stack.resource_map.resolved_parameters
            stack.parameters = {name: str(value) for name, value in values.items()}
            stack.resource_map.input_parameters = stack.parameters
            kwargs["parameters"] = {n: str(value) for n, value in kwargs["parameters"].items()}
    name, stack_id = _of_moto(self, *args, **kwargs)
    change_set, map_ = self.change_sets[name], self.stacks[stack_id].resource_map
    map_.cross_stack_resources = self.exports
    seen = {change.logical_resource_id for change in change_set.changes}
    now = change_set.template_dict
    for each in map_.build_resource_diff(now, change_set.parameters)["Modify"]:
        if each not in seen:
            kind = now["Resources"][each]["Type"]
            change_set.changes.append(Change("Modify", each, kind))
    return name, stack_id


def _execute_change_set(self: Any, change_set_name: str, stack_name: str) -> None:
    """Execute it; a stack whose creation fails is rolled back, as by CloudFormation."""
    stack: Stack = next(each for each in self.stacks.values() if each.name == stack_name)
    template = self.describe_change_set(change_set_name).template
    try:
        _executed(self, change_set_name, stack_name)
    except Exception as error:
        _delete_stack(stack)
        stack._add_stack_event("CREATE_FAILED", resource_status_reason=str(error))
        stack.status = "ROLLBACK_COMPLETE"
        return
    stack.template = template
    stack._parse_template()
    stack.output_map = stack._create_output_map()
    self.exports.update({export.name: export for export in stack.exports})


_put = Role.put_policy
_deleted = Stack.delete
_of_moto = CloudFormationBackend.create_change_set
_executed = CloudFormationBackend.execute_change_set
Role.put_policy = _put_policy
Stack.delete = _delete_stack
CloudFormationBackend.create_change_set = _create_change_set
CloudFormationBackend.execute_change_set = _execute_change_set
# a change set that changes nothing fails, and with it not the request
CloudFormationResponse._validate_different_update = lambda *_: None


def _delete_routes(ec2: Any, table: Any) -> None:
    table._associations.clear()
    ec2.delete_route_table(table.id)


def _delete_gateway(ec2: Any, gateway: Any) -> None:
    if gateway.vpc:
        ec2.detach_internet_gateway(gateway.id, gateway.vpc.id)
    ec2.delete_internet_gateway(gateway.id)


# moto's CloudFormation makes these and leaves them
GONE = {
    "AWS::EC2::EIP": lambda ec2, made: ec2.release_address(allocation_id=made.allocation_id),
    "AWS::EC2::FlowLog": lambda ec2, made: ec2.delete_flow_logs([made.id]),
    "AWS::EC2::InternetGateway": _delete_gateway,
    "AWS::EC2::NatGateway": lambda ec2, made: ec2.delete_nat_gateway(made.id),
    "AWS::EC2::RouteTable": _delete_routes,
    "AWS::EC2::VPCEndpoint": lambda ec2, made: ec2.vpc_end_points.pop(made.id),
}
for kind, gone in GONE.items():
    get_model_map()[kind].delete = lambda self, account, region, gone=gone: gone(
        ec2_backends[account][region], self
    )
for cache in (get_model_list, get_model_map):
    cache.cache_clear()

for kind in KEPT:
    supported(kind, kept)
supported("AWS::EKS::Cluster", cluster)
supported("AWS::EKS::Nodegroup", nodes)
supported("AWS::IAM::OIDCProvider", provider)
supported("AWS::RDS::DBInstance", database)
supported("AWS::S3::BucketPolicy", bucket_policy)
supported("AWS::SecretsManager::Secret", secret)

# moto wants its models in a module of a package, which __main__ is not
COMMAND = [sys.executable, "-c", "from tests.aws_emulator import main; main()", "--port"]
