"""The stacks of manifests/aws, brought up and taken down in moto, an emulator of AWS.

This tests that the templates fit together and that the command line works; cfn-lint checks the
properties against AWS's own schemas.
"""

import json
import time

import boto3
import pytest

from components.errors import UnavailableError
from deploy.aws import passwords, stacks, teardown
from tests import aws
from tests.conftest import assert_one_line

NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with aws.account(tmp_path_factory.mktemp("aws")) as account:
        yield account


@pytest.fixture(scope="module")
def up(account):
    before = account.run("up", "--dry-run")
    assert before.returncode == 0, before.stderr
    assert "sentiment-identities: 12 resources, all new" in before.stderr
    assert not account.client("cloudformation").describe_stacks()["Stacks"]
    result = account.run("up", "--yes", *aws.GITHUB)
    assert result.returncode == 0, result.stderr
    return result


def statuses(account) -> dict[str, str]:
    found = account.client("cloudformation").describe_stacks()["Stacks"]
    return {each["StackName"]: each["StackStatus"] for each in found}


def test_up_shows_and_executes_change_sets(account, up):
    names = [f"sentiment-{name}" for name in stacks.ORDER]
    assert statuses(account) == dict.fromkeys(names, "CREATE_COMPLETE")
    output = up.stderr
    assert "add DataBucket (AWS::S3::Bucket)" in output
    assert sorted(names, key=lambda name: output.index(f"{name}: done")) == names
    (stack,) = account.client("cloudformation").describe_stacks(StackName=names[1])["Stacks"]
    assert stack["Tags"] == [{"Key": "project", "Value": "sentiment"}]


def test_up_again_changes_nothing(account, up):
    again = account.run("up", "--yes")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count(": no change") == len(stacks.ORDER)


def test_change_needs_a_yes(account, up):
    change = ("up", "--param", "Nodes=3")
    shown = account.run(*change, "--dry-run")
    assert "modify NodeGroup (AWS::EKS::Nodegroup)" in shown.stderr
    assert_one_line(account.run(*change, answers="n\n"), "sentiment-cluster", "unchanged")
    assert_one_line(account.run(*change), "--yes")
    assert statuses(account)["sentiment-cluster"] == "CREATE_COMPLETE"
    assert account.run(*change, answers="y\n").returncode == 0
    assert statuses(account)["sentiment-cluster"] == "UPDATE_COMPLETE"
    assert account.run("up").stderr.count(": no change") == len(stacks.ORDER)


def test_status_prints_states_and_outputs(account, up):
    printed = account.run("status").stdout
    assert "sentiment-cluster: " in printed
    for output, role in (
        ("PredictorRoleArn", "predictor"),
        ("TrainingRoleArn", "training"),
        ("ReleaseRoleArn", "release"),
        ("DeployRoleArn", "production"),
    ):
        assert f"{output}: arn:aws:iam::{aws.ACCOUNT}:role/sentiment-{role}\n" in printed


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        # before AWS is asked for the account
        (["--param", "Nodes"], NO_KEYS, ["--param Nodes", "NAME=VALUE"]),
        (["--param", "Knots=3"], NO_KEYS, ["--param Knots", "NodeType"]),
        (["--only", "budget", "--param", "Nodes=3"], NO_KEYS, ["--param Nodes=3", "BudgetEmail"]),
        ([], NO_KEYS, ["Unable to locate credentials"]),
        ([], {"AWS_DEFAULT_REGION": ""}, ["no region", "--region"]),
    ],
)
def test_wrong_input_is_one_line(account, arguments, environment, words):
    result = account.run("up", "--dry-run", *arguments, **environment)
    assert_one_line(result, *words)


def test_unreachable_aws_is_unavailable(account):
    dead = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    result = account.run("up", "--dry-run", **dead)
    assert result.returncode == UnavailableError.exit_code
    assert "127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr


def secrets_of(account) -> dict[str, dict]:
    client = account.client("secretsmanager")
    values = {name: client.get_secret_value(SecretId=name) for name in passwords.FIELDS}
    return {name: json.loads(value["SecretString"]) for name, value in values.items()}


def test_rotation_changes_rds_and_its_secret_alike(account, up, monkeypatch):
    before = secrets_of(account)
    assert_one_line(account.run("rotate", answers="n\n"), "nothing was changed")
    assert account.run("rotate", "--dry-run").returncode == 0
    assert secrets_of(account) == before
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    sent = []
    session = boto3.Session()
    # moto does not return passwords
    session.events.register(
        "provide-client-params.rds.ModifyDBInstance", lambda params, **_: sent.append(params)
    )
    passwords.rotate(session)
    after = secrets_of(account)
    for name, field in passwords.FIELDS.items():
        assert after[name] == before[name] | {field: after[name][field]}
        assert after[name][field] != before[name][field]
    assert [each["MasterUserPassword"] for each in sent] == [after["sentiment/mlflow"]["password"]]
    assert sent[0]["ApplyImmediately"] is True


def test_rotation_prints_no_password(account, up):
    result = account.run("rotate", "--yes")
    assert result.returncode == 0, result.stderr
    for name, value in secrets_of(account).items():
        assert value[passwords.FIELDS[name]] not in result.stdout + result.stderr


def test_failed_creation_can_be_repeated(tmp_path):
    with aws.account(tmp_path) as account:
        account.client("ecr").create_repository(repositoryName="sentiment-serve")
        assert_one_line(account.run("up", "--yes"), "sentiment-registry", "sentiment-serve")
        assert "sentiment-registry: ROLLBACK_COMPLETE" in account.run("status").stdout
        stuck = account.run("up", "--yes")
        assert_one_line(stuck, "ROLLBACK_COMPLETE", "down --only registry")
        account.client("ecr").delete_repository(repositoryName="sentiment-serve")
        assert account.run("down", "--only", "registry", "--yes").returncode == 0
        assert account.run("up", "--only", "registry", "--yes").returncode == 0
        assert statuses(account)["sentiment-registry"] == "CREATE_COMPLETE"


def test_down_leaves_nothing(tmp_path):
    with aws.account(tmp_path) as account:
        names = ("s3", "ecr", "ec2", "elb", "elbv2", "rds", "eks", "iam", "logs", "secretsmanager")
        s3, ecr, ec2, elb, elbv2, rds, eks, iam, logs, secrets = map(account.client, names)
        assert account.run("up", "--yes", *aws.GITHUB).returncode == 0
        bucket = f"sentiment-models-{aws.ACCOUNT}-{aws.REGION}"
        s3.delete_bucket_policy(Bucket=bucket)  # it denies requests without TLS, as here
        for body in (b"old", b"new"):
            s3.put_object(Bucket=bucket, Key="mlflow/model", Body=body)
        s3.delete_object(Bucket=bucket, Key="mlflow/model")
        s3.put_object(Bucket=bucket, Key="mlflow/other", Body=b"kept")
        s3.create_multipart_upload(Bucket=bucket, Key="mlflow/half")
        image = {"imageManifest": '{"mediaType": "application/vnd.oci.image.manifest.v1+json"}'}
        ecr.put_image(repositoryName="sentiment-serve", imageTag="1", **image)
        (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["false"]}])["Vpcs"]
        of_vpc = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
        subnet = ec2.describe_subnets(Filters=of_vpc)["Subnets"][0]["SubnetId"]
        listener = {"Protocol": "tcp", "LoadBalancerPort": 80, "InstancePort": 80}
        elb.create_load_balancer(LoadBalancerName="old", Listeners=[listener], Subnets=[subnet])
        elbv2.create_load_balancer(Name="new", Subnets=[subnet], Type="network")
        owned = [{"Key": "kubernetes.io/cluster/sentiment", "Value": "owned"}]
        project = {"Key": "project", "Value": "sentiment"}
        driven = [{"Key": "CSIVolumeName", "Value": "pvc-1"}]
        # the last two belong to others
        for each in (owned, [project, *driven], driven, [project]):
            tags = [{"ResourceType": "volume", "Tags": each}]
            ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tags)
        logs.create_log_group(logGroupName="/aws/eks/sentiment/late")

        assert "would be deleted" in account.run("down", "--dry-run").stderr
        assert_one_line(account.run("down", answers="n\n"), "nothing was deleted")
        assert set(statuses(account).values()) == {"CREATE_COMPLETE"}

        result = account.run("down", "--yes")
        assert result.returncode == 0, result.stderr
        assert "nothing else is left that is billed" in result.stderr
        assert not statuses(account)
        assert len(ec2.describe_volumes()["Volumes"]) == 2
        assert [each["IsDefault"] for each in ec2.describe_vpcs()["Vpcs"]] == [True]
        left = [
            s3.list_buckets()["Buckets"],
            ecr.describe_repositories()["repositories"],
            elb.describe_load_balancers()["LoadBalancerDescriptions"],
            elbv2.describe_load_balancers()["LoadBalancers"],
            ec2.describe_addresses()["Addresses"],
            [n for n in ec2.describe_nat_gateways()["NatGateways"] if n["State"] != "deleted"],
            rds.describe_db_instances()["DBInstances"],
            eks.list_clusters()["clusters"],
            iam.list_roles()["Roles"],
            iam.list_open_id_connect_providers()["OpenIDConnectProviderList"],
            logs.describe_log_groups()["logGroups"],
            secrets.list_secrets()["SecretList"],
        ]
        assert not any(left), left
        assert account.run("down", "--yes").returncode == 0


def snapshots(account) -> list[dict]:
    found = account.client("rds").describe_db_snapshots(DBInstanceIdentifier="sentiment-mlflow")
    return found["DBSnapshots"]


def test_database_is_restored_from_its_final_snapshot(tmp_path):
    """moto's snapshots have a database's properties and no rows; test_mlflow_postgres has rows."""
    with aws.account(tmp_path) as account:
        rds = account.client("rds")
        assert account.run("up", "--yes").returncode == 0
        (key,) = account.client("kms").list_keys()["Keys"]
        tag = {"Key": "rows", "Value": "many"}
        rds.add_tags_to_resource(ResourceName=database(rds)["DBInstanceArn"], Tags=[tag])
        result = account.run("down", "--yes")
        assert result.returncode == 0, result.stderr
        (kept,) = snapshots(account)
        assert f"kept: the snapshot {kept['DBSnapshotIdentifier']}" in result.stderr
        # the stack's key is deleted with its stack
        assert kept["KmsKeyId"] != key["KeyArn"]
        assert account.run("down", "--yes").returncode == 0
        assert snapshots(account) == [kept]

        restore = ("--param", f"DatabaseSnapshot={kept['DBSnapshotIdentifier']}")
        result = account.run("up", "--yes", *restore)
        assert result.returncode == 0, result.stderr
        restored = database(rds)
        assert tag in restored["TagList"]
        assert restored["KmsKeyId"] == kept["KmsKeyId"]


def database(rds) -> dict:
    (found,) = rds.describe_db_instances(DBInstanceIdentifier="sentiment-mlflow")["DBInstances"]
    return found


def test_each_snapshot_is_kept_once(account, up, monkeypatch):
    """An interrupted copy is not repeated, and a new snapshot may have the name of a kept one."""
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    rds = account.client("rds")
    session = boto3.Session()

    def interrupt(**_: object) -> None:
        raise ConnectionError

    times = []
    for _ in range(2):
        made = rds.create_db_snapshot(
            DBInstanceIdentifier="sentiment-mlflow", DBSnapshotIdentifier="sentiment-mlflow-mine"
        )
        times.append(made["DBSnapshot"]["SnapshotCreateTime"])
        event = "before-call.rds.DeleteDBSnapshot"
        session.events.register(event, interrupt)
        with pytest.raises(ConnectionError):
            teardown.keep_snapshots(session)
        session.events.unregister(event, interrupt)
        teardown.keep_snapshots(session)
        time.sleep(1)  # the unit of the times
    manual = [each for each in snapshots(account) if each["SnapshotType"] == "manual"]
    assert sorted(each["DBSnapshotIdentifier"] for each in manual) == [
        f"sentiment-mlflow-kept-{each:%Y%m%d-%H%M%S}-mine" for each in times
    ]


def test_billed_leftovers_are_named(tmp_path):
    with aws.account(tmp_path) as account:
        name = f"sentiment-data-{aws.ACCOUNT}-{aws.REGION}"
        account.client("s3").create_bucket(Bucket=name)
        assert_one_line(account.run("down", "--yes"), "still there, and billed", f"bucket {name}")
