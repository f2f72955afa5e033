"""The two generated passwords: that of MLflow's database, and that of MLflow's user."""

import json
from typing import Any

from deploy.aws.teardown import DATABASE

# the field of each secret in Secrets Manager that holds the password
FIELDS = {"sentiment/mlflow": "password", "sentiment/capstone": "MLFLOW_TRACKING_PASSWORD"}


def rotate(session: Any) -> None:
    """Generate both passwords again, in Secrets Manager, and give RDS the one of the database.

    RDS applies it within minutes; open connections stay. After an interruption, call it again: RDS
    does not ask for the old password.
    """
    new = {name: _change(session, name) for name in FIELDS}
    session.client("rds").modify_db_instance(
        DBInstanceIdentifier=DATABASE,
        MasterUserPassword=new["sentiment/mlflow"],
        ApplyImmediately=True,
    )


def _change(session: Any, name: str) -> str:
    """Put a new password into a secret, whose other fields stay, and return the password."""
    secrets = session.client("secretsmanager")
    random = secrets.get_random_password(PasswordLength=40, ExcludePunctuation=True)
    value = json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])
    value[FIELDS[name]] = random["RandomPassword"]
    secrets.put_secret_value(SecretId=name, SecretString=json.dumps(value))
    return random["RandomPassword"]
