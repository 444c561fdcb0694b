"""What a laptop reads out of a CloudFormation template."""

import pytest

from local.template import Template

TEXT = """
Parameters:
  Days: {Type: Number, Default: 30}
Globals:
  Function:
    Runtime: python3.13
    Environment: {Variables: {SERVICE: collector, SHARED: global}}
Resources:
  Kept:
    Type: AWS::DynamoDB::Table
    Properties: {KeySchema: [{AttributeName: id, KeyType: HASH}]}
  Other:
    Type: AWS::SQS::Queue
  Api:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 29
      Role: !GetAtt ApiRole.Arn
      VpcConfig: !If [InVpc, {SubnetIds: !Ref SubnetIds}, !Ref AWS::NoValue]
      Policy: !Sub
        - '${A}'
        - {A: !Ref Days}
      Environment:
        Variables: {TABLE: !Ref Kept, RETENTION_DAYS: !Ref Days, SHARED: own}
"""


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "template.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return Template(path)


def test_the_tables_are_found_by_type(template):
    assert template.tables() == {"Kept": {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}}


def test_the_queues_are_found_by_type(template):
    assert template.queues() == {"Other": {}}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("SERVICE", "collector", id="global"),
        pytest.param("SHARED", "own", id="own-over-global"),
        pytest.param("TABLE", "Kept", id="resource-by-its-name"),
        pytest.param("RETENTION_DAYS", 30, id="parameter-by-its-default"),
    ],
)
def test_a_functions_variables_are_resolved(template, variable, value):
    assert template.function("Api")["Environment"]["Variables"][variable] == value


def test_a_functions_other_properties_are_read(template):
    api = template.function("Api")
    assert (api["Runtime"], api["Timeout"]) == ("python3.13", 29)


def test_the_api_of_our_own_template_has_what_the_handler_reads():
    variables = Template().function("Api")["Environment"]["Variables"]
    assert variables["SNAPSHOTS_TABLE"] in Template().tables()
    assert variables.keys() >= {"ALLOW_LOOPBACK", "ALLOW_PUBLIC_ADDRESSES", "ALLOWED_PORTS", "AWS_ENDPOINT_URL"}
