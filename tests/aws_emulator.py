"""moto's server, an emulator of AWS, with what our templates need of CloudFormation.

Resource types that moto's CloudFormation lacks are passed to its EKS, IAM, S3 and Secrets Manager;
those in INERT are only created and deleted. moto checks no permission.
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

INERT = (
    "AWS::Budgets::Budget",
    "AWS::EKS::AccessEntry",
    "AWS::EKS::Addon",
    "AWS::SecretsManager::SecretTargetAttachment",
)


class Resource(CloudFormationModel):
    """A resource of CloudFormation: its identifier, its attributes and its deletion."""

    def __init__(self, identifier: str, attributes: dict[str, str], delete: Any) -> None:
        self.physical_resource_id = identifier
        self.attributes = attributes
        self._delete = delete

    def get_cfn_attribute(self, name: str) -> str:
        return self.attributes[name]

    def delete(self, account: str, region: str) -> None:
        self._delete()


def support(kind: str, make: Any) -> None:
    """Add a type to moto; ``make`` takes a name, properties, account and region.

    The properties also have the resource's DeletionPolicy, which moto ignores but for Retain.
    """

    def create(cls, name: str, template: dict, account: str, region: str, **_: Any) -> Resource:
        policy = {"DeletionPolicy": template.get("DeletionPolicy", "Delete")}
        return make(name, template["Properties"] | policy, account, region)

    methods = {
        "cloudformation_name_type": staticmethod(lambda: ""),
        "cloudformation_type": staticmethod(lambda: kind),
        "has_cfn_attr": classmethod(lambda cls, name: True),
        "create_from_cloudformation_json": classmethod(create),
        "update_from_cloudformation_json": classmethod(lambda cls, original_resource, **_: original_resource),  # noqa: E501
    }  # fmt: skip
    type(kind, (CloudFormationModel,), methods)


def inert(name: str, properties: dict, account: str, region: str) -> Resource:
    return Resource(name, {}, lambda: None)


def cluster(name: str, properties: dict, account: str, region: str) -> Resource:
    eks, ec2 = eks_backends[account][region], ec2_backends[account][region]
    vpc = next(vpc for vpc in ec2.vpcs.values() if not vpc.is_default)
    group = ec2.create_security_group("eks-cluster-sg", "of the cluster", vpc_id=vpc.id)
    made = eks.create_cluster(properties["Name"], properties["RoleArn"], {}, properties["Version"])

    def delete() -> None:
        eks.delete_cluster(made.name)
        ec2.delete_security_group(group_id=group.id)

    attributes = {
        "Arn": made.arn,
        "OpenIdConnectIssuerUrl": made.identity["oidc"]["issuer"],
        "ClusterSecurityGroupId": group.id,
    }
    return Resource(made.name, attributes, delete)


def nodes(name: str, properties: dict, account: str, region: str) -> Resource:
    eks = eks_backends[account][region]
    cluster, name = properties["ClusterName"], properties["NodegroupName"]
    scaling = {key[0].lower() + key[1:]: n for key, n in properties["ScalingConfig"].items()}
    eks.create_nodegroup(cluster, properties["NodeRole"], name, properties["Subnets"], scaling)
    return Resource(f"{cluster}/{name}", {}, lambda: eks.delete_nodegroup(cluster, name))


def provider(name: str, properties: dict, account: str, region: str) -> Resource:
    iam = iam_backends[account]["aws"]
    made = iam.create_open_id_connect_provider(
        properties["Url"], properties.get("ThumbprintList", []), properties["ClientIdList"], []
    )
    delete = iam.delete_open_id_connect_provider
    return Resource(made.arn, {"Arn": made.arn}, lambda: delete(made.arn))


def bucket_policy(name: str, properties: dict, account: str, region: str) -> Resource:
    s3, bucket = s3_backends[account]["aws"], properties["Bucket"]
    s3.put_bucket_policy(bucket, json.dumps(properties["PolicyDocument"]).encode())
    return Resource(bucket, {}, lambda: None)  # deleted with its bucket


def secret(name: str, properties: dict, account: str, region: str) -> Resource:
    secrets = secretsmanager_backends[account][region]
    template = properties["GenerateSecretString"]
    value = json.loads(template["SecretStringTemplate"])
    value |= {template["GenerateStringKey"]: "generated"}
    key = properties["KmsKeyId"]
    name, text = properties["Name"], json.dumps(value)
    made = secrets.create_secret(name, text, None, None, [], key, None, [], False)
    arn = json.loads(made)["ARN"] if isinstance(made, str) else made["ARN"]
    return Resource(arn, {}, lambda: secrets.delete_secret(name, None, True))


def database(name: str, properties: dict, account: str, region: str) -> Resource:
    """moto's own type has no deletion protection, and no snapshots before and after its life."""
    rds, name = rds_backends[account][region], properties["DBInstanceIdentifier"]
    final = f"{name}-snapshot-database-1" if properties["DeletionPolicy"] == "Snapshot" else None
    made = Resource(name, {}, lambda: rds.delete_db_instance(name, final, not final))
    if snapshot := properties.get("DBSnapshotIdentifier"):
        inherited = {"DBName", "KmsKeyId", "MasterUsername", "MasterUserPassword"}
        assert not inherited & properties.keys()  # RDS refuses them
        rds.restore_db_instance_from_db_snapshot(
            snapshot,
            {
                "db_instance_identifier": name,
                "db_subnet_group_name": properties["DBSubnetGroupName"].name,
                "deletion_protection": properties["DeletionProtection"],
            },
        )
        return made
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
    return made


def _put_policy(self: Any, name: str, document: Any) -> None:
    """Store JSON; moto stores Python's repr of a policy from a template."""
    _moto_put(
        self, name, document if isinstance(document, str) else json.dumps(document, default=str)
    )


def _delete_stack(self: Stack) -> None:
    """Delete the outputs too: moto recreates what an output of a deleted stack names."""
    _moto_delete(self)
    self.template_dict = {}
    self.output_map = self._create_output_map()


def _create_change_set(self: Any, *args: Any, **kwargs: Any) -> tuple[str, str]:
    """Add to moto the exports of other stacks and the defaults of parameters."""
    for stack in [each for each in self.stacks.values() if each.name == kwargs["stack_name"]]:
        if kwargs["change_set_type"] == "CREATE":  # the stack that an earlier change set left
            del self.stacks[stack.stack_id]
        else:
            values = stack.resource_map.resolved_parameters
            stack.parameters = {name: str(value) for name, value in values.items()}
            stack.resource_map.input_parameters = stack.parameters
            kwargs["parameters"] = {n: str(value) for n, value in kwargs["parameters"].items()}
    name, stack_id = _moto_create(self, *args, **kwargs)
    change_set, map_ = self.change_sets[name], self.stacks[stack_id].resource_map
    map_.cross_stack_resources = self.exports
    listed = {change.logical_resource_id for change in change_set.changes}
    template = change_set.template_dict
    for each in map_.build_resource_diff(template, change_set.parameters)["Modify"]:
        if each not in listed:
            kind = template["Resources"][each]["Type"]
            change_set.changes.append(Change("Modify", each, kind))
    return name, stack_id


def _execute_change_set(self: Any, change_set_name: str, stack_name: str) -> None:
    """Execute a change set; roll a stack back whose creation fails, as CloudFormation does."""
    stack: Stack = next(each for each in self.stacks.values() if each.name == stack_name)
    template = self.describe_change_set(change_set_name).template
    try:
        _moto_execute(self, change_set_name, stack_name)
    except Exception as error:
        _delete_stack(stack)
        stack._add_stack_event("CREATE_FAILED", resource_status_reason=str(error))
        stack.status = "ROLLBACK_COMPLETE"
        return
    stack.template = template
    stack._parse_template()
    stack.output_map = stack._create_output_map()
    self.exports.update({export.name: export for export in stack.exports})


_moto_put = Role.put_policy
_moto_delete = Stack.delete
_moto_create = CloudFormationBackend.create_change_set
_moto_execute = CloudFormationBackend.execute_change_set
Role.put_policy = _put_policy
Stack.delete = _delete_stack
CloudFormationBackend.create_change_set = _create_change_set
CloudFormationBackend.execute_change_set = _execute_change_set
# an empty change set fails; the request for it succeeds
CloudFormationResponse._validate_different_update = lambda *_: None


def _delete_routes(ec2: Any, table: Any) -> None:
    table._associations.clear()
    ec2.delete_route_table(table.id)


def _delete_gateway(ec2: Any, gateway: Any) -> None:
    if gateway.vpc:
        ec2.detach_internet_gateway(gateway.id, gateway.vpc.id)
    ec2.delete_internet_gateway(gateway.id)


# moto's CloudFormation creates these and does not delete them
DELETE = {
    "AWS::EC2::EIP": lambda ec2, made: ec2.release_address(allocation_id=made.allocation_id),
    "AWS::EC2::FlowLog": lambda ec2, made: ec2.delete_flow_logs([made.id]),
    "AWS::EC2::InternetGateway": _delete_gateway,
    "AWS::EC2::NatGateway": lambda ec2, made: ec2.delete_nat_gateway(made.id),
    "AWS::EC2::RouteTable": _delete_routes,
    "AWS::EC2::VPCEndpoint": lambda ec2, made: ec2.vpc_end_points.pop(made.id),
}
for kind, delete in DELETE.items():
    get_model_map()[kind].delete = lambda self, account, region, delete=delete: delete(
        ec2_backends[account][region], self
    )
for cache in (get_model_list, get_model_map):
    cache.cache_clear()

for kind in INERT:
    support(kind, inert)
support("AWS::EKS::Cluster", cluster)
support("AWS::EKS::Nodegroup", nodes)
support("AWS::IAM::OIDCProvider", provider)
support("AWS::RDS::DBInstance", database)
support("AWS::S3::BucketPolicy", bucket_policy)
support("AWS::SecretsManager::Secret", secret)

# moto needs its models in a module of a package, not in __main__
COMMAND = [sys.executable, "-c", "from tests.aws_emulator import main; main()", "--port"]
