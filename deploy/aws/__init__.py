"""The AWS account under the cluster, as CloudFormation stacks."""
