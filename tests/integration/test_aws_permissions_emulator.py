"""The permissions of each role: a table, checked against the policies of the stacks in moto.

moto resolves the templates' functions; tests/aws_policies.py evaluates the resulting policies, as
moto does not enforce any.
"""

import copy
import json

import pytest

from tests import aws
from tests.aws_policies import allowed

KEY = "arn:aws:kms:us-east-1:123456789012:key/KEY"
MODELS = "arn:aws:s3:::sentiment-models-123456789012-us-east-1"
DATA = "arn:aws:s3:::sentiment-data-123456789012-us-east-1"
MODEL = f"{MODELS}/mlflow/1/0a0a/artifacts/model"
ECR = "arn:aws:ecr:us-east-1:123456789012:repository"
EKS = "arn:aws:eks:us-east-1:123456789012:cluster"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret"
S3, SECRETS = "s3.us-east-1.amazonaws.com", "secretsmanager.us-east-1.amazonaws.com"


def via(service: str, arn: str = "") -> dict[str, str]:
    """Return the context of a request to the KMS key by ``service``."""
    return {"kms:ViaService": service} | ({"kms:EncryptionContext:aws:s3:arn": arn} if arn else {})


def under(prefix: str) -> dict[str, str]:
    return {"s3:prefix": prefix}


FILE = f"{DATA}/dvc/files/md5/0a/0a"
DVC = [
    ("s3:ListBucket", DATA, {}, True),
    ("s3:GetObject", FILE, {}, True),
    ("s3:GetObject", f"{DATA}/reviews.parquet", {}, True),
    ("s3:PutObject", FILE, {}, True),
    ("s3:AbortMultipartUpload", FILE, {}, True),
    ("kms:Decrypt", KEY, via(S3, DATA), True),
    ("kms:Decrypt", KEY, via(S3, FILE), True),
    ("kms:Decrypt", KEY, via(S3, f"{DATA}/reviews.parquet"), True),
    ("kms:GenerateDataKey", KEY, via(S3, DATA), True),
    ("kms:GenerateDataKey", KEY, via(S3, FILE), True),
    ("kms:Decrypt", KEY, via(S3, f"{DATA}/captured/2026.jsonl"), False),
    ("kms:Decrypt", KEY, via(SECRETS, DATA), False),
    ("kms:Decrypt", KEY, via(S3), False),
    ("kms:Encrypt", KEY, via(S3, DATA), False),
    ("kms:Decrypt", f"{KEY}2", via(S3, DATA), False),
    ("s3:GetBucketPolicy", DATA, {}, False),
    ("s3:ListBucket", "arn:aws:s3:::another-account", {}, False),
    ("s3:GetObject", f"{DATA}/captured/2026.jsonl", {}, False),
    ("s3:GetObjectVersion", FILE, {}, False),
    ("s3:PutObject", f"{DATA}/reviews.parquet", {}, False),
    ("s3:PutObject", f"{DATA}/captured/2026.jsonl", {}, False),
    ("s3:DeleteObject", FILE, {}, False),
]
READ = [
    ("s3:ListBucket", MODELS, under("mlflow"), True),
    ("s3:ListBucket", MODELS, under("mlflow/1"), True),
    ("s3:GetObject", f"{MODEL}/model.skops", {}, True),
    ("kms:Decrypt", KEY, via(S3, MODELS), True),
    ("kms:Decrypt", KEY, via(S3, f"{MODEL}/model.skops"), True),
    ("kms:Decrypt", KEY, via(SECRETS, MODELS), False),
    ("kms:Decrypt", KEY, via(S3), False),
    ("kms:Encrypt", KEY, via(S3, MODELS), False),
    ("kms:Decrypt", f"{KEY}2", via(S3, MODELS), False),
    ("s3:ListBucket", MODELS, {}, False),
    ("s3:ListBucket", "arn:aws:s3:::another-account", under("mlflow/1"), False),
    ("s3:GetBucketPolicy", MODELS, under("mlflow/1"), False),
    ("s3:GetObject", f"{MODELS}/other", {}, False),
    ("s3:GetObjectVersion", f"{MODEL}/model.skops", {}, False),
    ("s3:DeleteObject", f"{MODEL}/model.skops", {}, False),
    ("ecr:GetAuthorizationToken", "*", {}, True),
    ("ecr:BatchGetImage", f"{ECR}/sentiment-train", {}, True),
    ("ecr:BatchGetImage", f"{ECR}/sentiment-serve", {}, True),
    ("ecr:BatchGetImage", f"{ECR}/sentiment-receiver", {}, True),
    ("ecr:GetDownloadUrlForLayer", f"{ECR}/sentiment-serve", {}, True),
    ("ecr:BatchGetImage", f"{ECR}/other", {}, False),
    ("ecr:BatchDeleteImage", f"{ECR}/sentiment-serve", {}, False),
    ("ecr:PutImageTagMutability", f"{ECR}/sentiment-serve", {}, False),
    ("ecr:CreateRepository", "*", {}, False),
]
TABLE = [
    # the predictor reads models, and nothing else
    ("predictor", "s3:GetObject", f"{MODEL}/model.skops", {}, True),
    ("predictor", "s3:ListBucket", MODELS, under("mlflow/1/0a0a/artifacts/model"), True),
    ("predictor", "s3:ListBucket", MODELS, under("mlflow/1/0a0a/artifacts/model/x"), True),
    ("predictor", "kms:Decrypt", KEY, via(S3, MODELS), True),
    ("predictor", "kms:Decrypt", KEY, via(S3, f"{MODEL}/model.skops"), True),
    ("predictor", "s3:GetObject", f"{MODELS}/mlflow/1/0a0a/artifacts/plots/roc.png", {}, False),
    ("predictor", "s3:GetObject", f"{MODELS}/other", {}, False),
    ("predictor", "s3:GetObject", f"{DATA}/captured/2026.jsonl", {}, False),
    ("predictor", "s3:GetObjectVersion", f"{MODEL}/model.skops", {}, False),
    ("predictor", "s3:PutObject", f"{MODEL}/model.skops", {}, False),
    ("predictor", "s3:PutObject", f"{DATA}/captured/2026.jsonl", {}, False),
    ("predictor", "s3:DeleteObject", f"{MODEL}/model.skops", {}, False),
    ("predictor", "s3:ListBucket", MODELS, {}, True),  # HeadBucket, the first request of KServe's
    ("predictor", "s3:ListBucket", "arn:aws:s3:::another-account", {}, False),
    ("predictor", "s3:GetBucketPolicy", MODELS, under("mlflow/1/0a0a/artifacts/model"), False),
    ("predictor", "s3:ListBucket", DATA, under("mlflow/1/0a0a/artifacts/model"), False),
    ("predictor", "kms:Decrypt", KEY, via(S3, DATA), False),
    ("predictor", "kms:Decrypt", KEY, via(SECRETS, MODELS), False),
    ("predictor", "kms:Decrypt", KEY, via(S3), False),
    ("predictor", "kms:Decrypt", f"{KEY}2", via(S3, MODELS), False),
    ("predictor", "kms:GenerateDataKey", KEY, via(S3, MODELS), False),
    ("predictor", "secretsmanager:GetSecretValue", f"{SECRET}:sentiment/capstone", {}, False),
    ("predictor", "ecr:PutImage", f"{ECR}/sentiment-serve", {}, False),
    # the pipeline reads data, writes artifacts, models and DVC's remote, and deletes nothing
    ("pipeline", "s3:GetObject", f"{DATA}/reviews.parquet", {}, True),
    ("pipeline", "s3:GetObject", f"{DATA}/captured/2026.jsonl", {}, True),
    ("pipeline", "s3:ListBucket", DATA, {}, True),
    ("pipeline", "s3:GetBucketLocation", DATA, {}, True),
    ("pipeline", "s3:ListBucket", MODELS, {}, True),
    ("pipeline", "s3:PutObject", f"{DATA}/dvc/files/md5/0a/0a", {}, True),
    ("pipeline", "s3:PutObject", f"{DATA}/pipelines/run/metrics", {}, True),
    ("pipeline", "s3:PutObject", f"{DATA}/labels/sentiment/labelled.parquet", {}, True),
    ("pipeline", "s3:PutObject", f"{MODEL}/model.skops", {}, True),
    ("pipeline", "s3:GetObject", f"{MODEL}/model.skops", {}, True),
    ("pipeline", "s3:AbortMultipartUpload", f"{MODEL}/model.skops", {}, True),
    ("pipeline", "kms:GenerateDataKey", KEY, via(S3, MODELS), True),
    ("pipeline", "kms:Decrypt", KEY, via(S3, DATA), True),
    ("pipeline", "kms:Decrypt", KEY, via(SECRETS), False),
    ("pipeline", "kms:Encrypt", KEY, via(S3, DATA), False),
    ("pipeline", "kms:Decrypt", f"{KEY}2", via(S3, DATA), False),
    ("pipeline", "s3:PutObject", f"{DATA}/captured/2026.jsonl", {}, False),
    ("pipeline", "s3:PutObject", f"{DATA}/reviews.parquet", {}, False),
    ("pipeline", "s3:DeleteObject", f"{MODEL}/model.skops", {}, False),
    ("pipeline", "s3:GetObjectAcl", f"{MODEL}/model.skops", {}, False),
    ("pipeline", "s3:PutBucketPolicy", MODELS, {}, False),
    ("pipeline", "s3:GetObject", "arn:aws:s3:::another-account/reviews", {}, False),
    ("pipeline", "s3:ListBucket", "arn:aws:s3:::another-account", {}, False),
    ("pipeline", "iam:PassRole", "arn:aws:iam::123456789012:role/sentiment-release", {}, False),
    # MLflow manages its artifacts
    ("mlflow", "s3:GetObject", f"{MODEL}/model.skops", {}, True),
    ("mlflow", "s3:PutObject", f"{MODEL}/model.skops", {}, True),
    ("mlflow", "s3:DeleteObject", f"{MODEL}/model.skops", {}, True),
    ("mlflow", "s3:AbortMultipartUpload", f"{MODEL}/model.skops", {}, True),
    ("mlflow", "s3:ListBucket", MODELS, under("mlflow/1"), True),
    ("mlflow", "kms:GenerateDataKey", KEY, via(S3, f"{MODEL}/model.skops"), True),
    ("mlflow", "kms:Decrypt", KEY, via(S3, MODELS), True),
    ("mlflow", "kms:Decrypt", KEY, via(S3, DATA), False),
    ("mlflow", "kms:Decrypt", KEY, via(SECRETS, MODELS), False),
    ("mlflow", "kms:Encrypt", KEY, via(S3, MODELS), False),
    ("mlflow", "kms:Decrypt", f"{KEY}2", via(S3, MODELS), False),
    ("mlflow", "s3:ListBucket", MODELS, under("other"), False),
    ("mlflow", "s3:ListBucket", DATA, under("mlflow/1"), False),
    ("mlflow", "s3:GetBucketPolicy", MODELS, under("mlflow/1"), False),
    ("mlflow", "s3:GetObject", f"{DATA}/reviews.parquet", {}, False),
    ("mlflow", "s3:GetObjectAcl", f"{MODEL}/model.skops", {}, False),
    # External Secrets reads two secrets
    ("secrets", "secretsmanager:GetSecretValue", f"{SECRET}:sentiment/capstone-", {}, True),
    ("secrets", "secretsmanager:GetSecretValue", f"{SECRET}:sentiment/mlflow-", {}, True),
    ("secrets", "secretsmanager:DescribeSecret", f"{SECRET}:sentiment/mlflow-", {}, True),
    ("secrets", "kms:Decrypt", KEY, via(SECRETS), True),
    ("secrets", "kms:Decrypt", KEY, via(S3), False),
    ("secrets", "kms:Encrypt", KEY, via(SECRETS), False),
    ("secrets", "kms:Decrypt", f"{KEY}2", via(SECRETS), False),
    ("secrets", "secretsmanager:GetSecretValue", f"{SECRET}:other-0a0a0a", {}, False),
    ("secrets", "secretsmanager:PutSecretValue", f"{SECRET}:sentiment/capstone-", {}, False),
    # GitHub's environments training and release keep DVC's remote, and delete nothing of it
    *((role, *row) for role in ("training", "release") for row in DVC),
    # release and production read models and images, and write none but as the next rows say
    *((role, *row) for role in ("release", "production") for row in READ),
    ("training", "s3:GetObject", f"{MODEL}/model.skops", {}, False),
    ("training", "kms:Decrypt", KEY, via(S3, MODELS), False),
    ("training", "ecr:GetAuthorizationToken", "*", {}, False),
    ("training", "ecr:BatchGetImage", f"{ECR}/sentiment-serve", {}, False),
    ("training", "eks:DescribeCluster", f"{EKS}/sentiment", {}, False),
    # release writes models and pushes images
    ("release", "s3:PutObject", f"{MODEL}/model.skops", {}, True),
    ("release", "s3:AbortMultipartUpload", f"{MODEL}/model.skops", {}, True),
    ("release", "s3:PutObject", f"{MODELS}/other", {}, False),
    ("release", "kms:GenerateDataKey", KEY, via(S3, MODELS), True),
    ("release", "kms:GenerateDataKey", KEY, via(S3, f"{MODEL}/model.skops"), True),
    ("release", "kms:GenerateDataKey", KEY, via(S3, f"{MODELS}/other"), False),
    ("release", "kms:GenerateDataKey", KEY, via(SECRETS, MODELS), False),
    ("release", "kms:GenerateDataKey", f"{KEY}2", via(S3, MODELS), False),
    ("release", "kms:Encrypt", KEY, via(S3, MODELS), False),
    *(
        ("release", f"ecr:{action}", f"{ECR}/sentiment-{name}", {}, True)
        for name in ("train", "serve", "receiver")
        for action in (
            "BatchCheckLayerAvailability",
            "CompleteLayerUpload",
            "DescribeImageScanFindings",
            "InitiateLayerUpload",
            "PutImage",
            "UploadLayerPart",
        )
    ),
    ("release", "ecr:PutImage", f"{ECR}/other", {}, False),
    ("release", "eks:DescribeCluster", f"{EKS}/sentiment", {}, False),
    # production reaches one cluster
    ("production", "eks:DescribeCluster", f"{EKS}/sentiment", {}, True),
    ("production", "eks:DescribeCluster", f"{EKS}/other", {}, False),
    ("production", "eks:CreateAccessEntry", f"{EKS}/sentiment", {}, False),
    ("production", "s3:PutObject", f"{MODEL}/model.skops", {}, False),
    ("production", "kms:GenerateDataKey", KEY, via(S3, MODELS), False),
    ("production", "ecr:PutImage", f"{ECR}/sentiment-serve", {}, False),
    ("production", "s3:ListBucket", DATA, {}, False),
    ("production", "s3:GetObject", f"{DATA}/dvc/files/md5/0a/0a", {}, False),
    ("production", "kms:Decrypt", KEY, via(S3, DATA), False),
]
GITHUB = ("training", "release", "production")
ROLES = ("predictor", "pipeline", "mlflow", "secrets", *GITHUB)


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with aws.account(tmp_path_factory.mktemp("aws")) as account:
        result = account.run("up", "--yes", *aws.GITHUB)
        assert result.returncode == 0, result.stderr
        yield account


@pytest.fixture(scope="module")
def names(account):
    """The emulator's names of what the table names."""
    (key,) = account.client("kms").list_keys()["Keys"]
    secrets = account.client("secretsmanager").list_secrets()["SecretList"]
    arns = {f"{SECRET}:{each['Name']}-": each["ARN"] for each in secrets}
    return arns | {KEY: key["KeyArn"], f"{KEY}2": f"{key['KeyArn']}2"}


def policies_of(account, role: str) -> list[dict]:
    iam = account.client("iam")
    role = f"sentiment-{role}"
    assert not iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]


@pytest.fixture(scope="module")
def policies(account):
    return {role: policies_of(account, role) for role in ROLES}


def broken_rows(policies: dict, names: dict) -> list[tuple]:
    """Return the rows of the table that the policies break."""
    return [
        row
        for row in TABLE
        if (row[0] in policies)
        and allowed(policies[row[0]], row[1], names.get(row[2], row[2]), row[3]) is not row[4]
    ]


def test_policies_keep_the_table(policies, names):
    assert not broken_rows(policies, names)


def mutants(policies: list[dict]):
    """Yield the policies made wider or narrower by one step, each with the name of the step."""
    for i, policy in enumerate(policies):
        for j, statement in enumerate(policy["Statement"]):
            actions = statement["Action"]
            actions = actions if isinstance(actions, list) else [actions]
            resources = statement["Resource"]
            resources = resources if isinstance(resources, list) else [resources]
            steps = {"without": None, "all actions": {"Action": actions[0].split(":")[0] + ":*"}}
            if resources != ["*"]:
                steps["all resources"] = {"Resource": "*"}
            for each in actions if len(actions) > 1 else []:
                steps[f"not {each}"] = {"Action": [a for a in actions if a != each]}
            for each in resources if len(resources) > 1 else []:
                steps[f"not {each}"] = {"Resource": [r for r in resources if r != each]}
            for operator in statement.get("Condition", {}):
                kept = {k: v for k, v in statement["Condition"].items() if k != operator}
                steps[f"without {operator}"] = {"Condition": kept}
            for name, step in steps.items():
                mutant = copy.deepcopy(policies)
                if step is None:
                    del mutant[i]["Statement"][j]
                else:
                    mutant[i]["Statement"][j] |= step
                yield f"{statement['Sid']}: {name}", mutant


@pytest.mark.parametrize("role", ROLES)
def test_table_notices_each_changed_policy(role, policies, names):
    unnoticed = [
        name for name, mutant in mutants(policies[role]) if not broken_rows({role: mutant}, names)
    ]
    assert not unnoticed


def trust_of(account, role: str) -> list[dict]:
    return [account.client("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]]


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        ("predictor", "sentiment:sentiment-predictor"),
        ("pipeline", "sentiment:sentiment-pipeline"),
        ("mlflow", "sentiment:mlflow"),
        ("secrets", "sentiment:external-secrets"),
        ("volumes", "kube-system:ebs-csi-controller-sa"),
    ],
)
def test_role_trusts_one_service_account(account, role, subject):
    trust = trust_of(account, f"sentiment-{role}")
    cluster = account.client("eks").describe_cluster(name="sentiment")["cluster"]
    issuer = cluster["identity"]["oidc"]["issuer"].removeprefix("https://")
    (statement,) = trust[0]["Statement"]
    assert statement["Principal"]["Federated"].endswith(f":oidc-provider/{issuer}")
    action = ("sts:AssumeRoleWithWebIdentity", "*")

    def token(subject: str, audience: str = "sts.amazonaws.com") -> dict[str, str]:
        return {f"{issuer}:aud": audience, f"{issuer}:sub": f"system:serviceaccount:{subject}"}

    assert allowed(trust, *action, token(subject))
    assert not allowed(trust, *action, token("sentiment:default"))
    assert not allowed(trust, *action, token(f"other:{subject.partition(':')[2]}"))
    assert not allowed(trust, *action, token(subject, "kubernetes.default.svc"))
    assert not allowed(trust, *action, {})


@pytest.mark.parametrize("environment", GITHUB)
def test_role_trusts_one_github_environment(account, environment):
    trust = trust_of(account, f"sentiment-{environment}")
    action = ("sts:AssumeRoleWithWebIdentity", "*")

    def token(subject: str, audience: str = "sts.amazonaws.com") -> dict[str, str]:
        host = "token.actions.githubusercontent.com"
        return {f"{host}:aud": audience, f"{host}:sub": subject}

    own = f"repo:acme/sentiment:environment:{environment}"
    assert allowed(trust, *action, token(own))
    for other in (
        f"repo:acme@12/sentiment@34:environment:{environment}",
        *(f"repo:acme/sentiment:environment:{e}" for e in (*GITHUB, "staging") if e != environment),
        "repo:acme/sentiment:ref:refs/heads/main",
        "repo:acme/sentiment:pull_request",
        f"repo:acme/sentiment-fork:environment:{environment}",
        f"repo:other/sentiment:environment:{environment}",
    ):
        assert not allowed(trust, *action, token(other))
    assert not allowed(trust, *action, token(own, "other"))


def test_roles_trust_a_repository_with_ids(account):
    """Keep this test behind those of the trust: it recreates the roles with another one."""
    only = ("--only", "identities", "--yes")
    assert account.run("down", *only).returncode == 0
    result = account.run("up", *only, "--param", "GitHubRepository=acme@12/sentiment@34")
    assert result.returncode == 0, result.stderr
    host = "token.actions.githubusercontent.com"
    for environment in GITHUB:
        trust = trust_of(account, f"sentiment-{environment}")

        def trusted(repository: str, trust=trust, environment=environment) -> bool:
            subject = f"repo:{repository}:environment:{environment}"
            token = {f"{host}:aud": "sts.amazonaws.com", f"{host}:sub": subject}
            return allowed(trust, "sts:AssumeRoleWithWebIdentity", "*", token)

        assert trusted("acme@12/sentiment@34")
        assert not trusted("acme@13/sentiment@34")  # another owner took the name
        assert not trusted("acme@12/sentiment@35")
        assert not trusted("acme/sentiment")


@pytest.mark.parametrize("name", ["data", "models", "logs"])
def test_bucket_denies_requests_without_tls(account, name):
    bucket = f"sentiment-{name}-{aws.ACCOUNT}-{aws.REGION}"
    policy = json.loads(account.client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
    anything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    both = [policy, {"Statement": [anything]}]
    for resource in (f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/key"):
        assert allowed(both, "s3:GetObject", resource, {"aws:SecureTransport": "true"})
        assert not allowed(both, "s3:GetObject", resource, {"aws:SecureTransport": "false"})


def test_capture_may_write_and_not_read(account, names):
    """Keep this test last: it recreates the roles, as moto's updates ignore conditions."""
    only = ("--only", "identities", "--yes")
    assert account.run("down", *only).returncode == 0
    result = account.run("up", *only, "--param", "CaptureRequests=true")
    assert result.returncode == 0, result.stderr
    policies = {"predictor": policies_of(account, "predictor")}
    captured = f"{DATA}/captured/2026.jsonl"
    assert {row[1:3] for row in broken_rows(policies, names)} == {("s3:PutObject", captured)}
    for arn in (DATA, captured):  # of the bucket's key, or of the object's own
        assert allowed(policies["predictor"], "kms:GenerateDataKey", names[KEY], via(S3, arn))
