"""Delete what keeps a stack from being deleted, and list what would still be billed."""

from typing import Any

BUCKETS = ("data", "models", "logs")
REPOSITORIES = ("sentiment-train", "sentiment-serve", "sentiment-receiver")
DATABASE = "sentiment-mlflow"
# of snapshots that do not need the key of the stack
KEPT = f"{DATABASE}-kept-"
LOGS = ("/aws/eks/sentiment/", "/aws/rds/instance/sentiment-mlflow/", "/sentiment/")
OWNED = [{"Name": "tag:kubernetes.io/cluster/sentiment", "Values": ["owned"]}]
# tags of the EBS driver, which may not know the cluster's name
DRIVER = [
    {"Name": "tag-key", "Values": ["CSIVolumeName"]},
    {"Name": "tag:project", "Values": ["sentiment"]},
]


def _buckets(session: Any) -> list[str]:
    account = session.client("sts").get_caller_identity()["Account"]
    wanted = {f"sentiment-{name}-{account}-{session.region_name}" for name in BUCKETS}
    return [
        each["Name"]
        for each in session.client("s3").list_buckets()["Buckets"]
        if each["Name"] in wanted
    ]


def _repositories(session: Any) -> list[str]:
    pages = session.client("ecr").get_paginator("describe_repositories").paginate()
    names = [each["repositoryName"] for page in pages for each in page["repositories"]]
    return [name for name in names if name in REPOSITORIES]


def empty_buckets(session: Any) -> None:
    """Delete every version of every object, and unfinished uploads."""
    for name in _buckets(session):
        bucket = session.resource("s3").Bucket(name)
        for upload in bucket.multipart_uploads.all():
            upload.abort()
        bucket.object_versions.delete()


def empty_repositories(session: Any) -> None:
    client = session.client("ecr")
    for name in _repositories(session):
        for page in client.get_paginator("list_images").paginate(repositoryName=name):
            if page["imageIds"]:
                client.batch_delete_image(repositoryName=name, imageIds=page["imageIds"])


def unprotect_database(session: Any) -> None:
    client = session.client("rds")
    for database in _databases(client):
        if database["DeletionProtection"]:
            client.modify_db_instance(
                DBInstanceIdentifier=DATABASE, DeletionProtection=False, ApplyImmediately=True
            )
            client.get_waiter("db_instance_available").wait(DBInstanceIdentifier=DATABASE)


def _databases(client: Any) -> list[dict[str, Any]]:
    try:
        return client.describe_db_instances(DBInstanceIdentifier=DATABASE)["DBInstances"]
    except client.exceptions.DBInstanceNotFoundFault:
        return []


def snapshots(session: Any) -> list[str]:
    """Return the names of the database's snapshots that a deletion of the stacks leaves."""
    found = session.client("rds").describe_db_snapshots(
        DBInstanceIdentifier=DATABASE, SnapshotType="manual"
    )
    return sorted(each["DBSnapshotIdentifier"] for each in found["DBSnapshots"])


def keep_snapshots(session: Any) -> None:
    """Encrypt the database's snapshots with RDS's own key: the stack's is deleted with its stack.

    A copy is the only way to change the key of a snapshot. It has the time of the snapshot in its
    name: a later snapshot may have the name of one that was copied and deleted.
    """
    client, names = session.client("rds"), snapshots(session)
    available = client.get_waiter("db_snapshot_available")
    for name in (each for each in names if not each.startswith(KEPT)):
        available.wait(DBSnapshotIdentifier=name)  # one that is being made has no time yet
        (snapshot,) = client.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]
        time = f"{snapshot['SnapshotCreateTime']:%Y%m%d-%H%M%S}"
        copy = f"{KEPT}{time}-{name.removeprefix('sentiment-mlflow-')}"
        if copy not in names:  # as after an interruption
            client.copy_db_snapshot(
                SourceDBSnapshotIdentifier=name,
                TargetDBSnapshotIdentifier=copy,
                KmsKeyId="alias/aws/rds",
                CopyTags=True,
            )
        available.wait(DBSnapshotIdentifier=copy)
        client.delete_db_snapshot(DBSnapshotIdentifier=name)


def empty_storage(session: Any) -> None:
    """Keep the snapshots and empty the buckets, before the stack of buckets and key is deleted."""
    keep_snapshots(session)
    empty_buckets(session)


def _volumes(ec2: Any) -> list[str]:
    pages = [ec2.describe_volumes(Filters=filters)["Volumes"] for filters in (OWNED, DRIVER)]
    return sorted({volume["VolumeId"] for volumes in pages for volume in volumes})


def delete_kubernetes_leftovers(session: Any) -> None:
    """Delete what the deleted cluster has left in the network and would block its deletion."""
    stack = session.client("cloudformation").describe_stacks(StackName="sentiment-network")
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Stacks"][0].get("Outputs", [])}
    vpc = outputs.get("VpcId")
    classic, newer, ec2 = (session.client(name) for name in ("elb", "elbv2", "ec2"))
    for each in classic.describe_load_balancers()["LoadBalancerDescriptions"]:
        if each["VPCId"] == vpc:
            classic.delete_load_balancer(LoadBalancerName=each["LoadBalancerName"])
    arns = [
        each["LoadBalancerArn"]
        for each in newer.describe_load_balancers()["LoadBalancers"]
        if each["VpcId"] == vpc
    ]
    for arn in arns:
        newer.delete_load_balancer(LoadBalancerArn=arn)
    if arns:
        newer.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=arns)
    for each in newer.describe_target_groups()["TargetGroups"]:
        if each.get("VpcId") == vpc:
            newer.delete_target_group(TargetGroupArn=each["TargetGroupArn"])
    for volume in _volumes(ec2):
        ec2.delete_volume(VolumeId=volume)
    in_vpc = [{"Name": "vpc-id", "Values": [vpc or "none"]}]
    idle = [*in_vpc, {"Name": "status", "Values": ["available"]}]
    for each in ec2.describe_network_interfaces(Filters=idle)["NetworkInterfaces"]:
        ec2.delete_network_interface(NetworkInterfaceId=each["NetworkInterfaceId"])
    for each in ec2.describe_security_groups(Filters=[*in_vpc, *OWNED])["SecurityGroups"]:
        ec2.delete_security_group(GroupId=each["GroupId"])


def delete_late_logs(session: Any) -> None:
    """Delete log groups that the last lines of a deleted cluster or database created again."""
    client = session.client("logs")
    for prefix in LOGS:
        for group in client.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]:
            client.delete_log_group(logGroupName=group["logGroupName"])


def billed(session: Any) -> list[str]:
    """Return what is still there and costs money, beside snapshots, which are kept on purpose.

    A key scheduled for deletion costs nothing.
    """
    ec2, rds = session.client("ec2"), session.client("rds")
    return [
        *(f"bucket {name}" for name in _buckets(session)),
        *(f"repository {name}" for name in _repositories(session)),
        *(f"volume {volume}" for volume in _volumes(ec2)),
        *(f"database {each['DBInstanceIdentifier']}" for each in _databases(rds)),
    ]


BEFORE = {
    "storage": empty_storage,
    "registry": empty_repositories,
    "mlflow": unprotect_database,
    "network": delete_kubernetes_leftovers,
}
