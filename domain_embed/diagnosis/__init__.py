"""Before training: why queries fail, what each lever would gain and cost, and which one to pull."""
