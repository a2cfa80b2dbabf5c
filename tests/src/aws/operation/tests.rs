use super::*;

const SCOPE: &str = "AWS4-HMAC-SHA256 Credential=AKIA/20261121/us-west-2/";

fn request(service: &str, line: &str, headers: &[(&str, &str)], body: &str) -> Request<Bytes> {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:4566");
    if !service.is_empty() {
        let signature = format!("{SCOPE}{service}/aws4_request, SignedHeaders=host, Signature=00");
        request = request.header("authorization", signature);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::from(body.to_owned())).unwrap()
}

fn form(service: &str, body: &str) -> Operation {
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    Operation::of(&request(service, "POST /", &headers, body))
}

fn json(service: &str, target: &str, version: &str, body: &str) -> Operation {
    let content = format!("application/x-amz-json-{version}");
    Operation::of(&request(service, "POST /", &[("content-type", &content), ("x-amz-target", target)], body))
}

/// `service:Action`, `!` before it when it may change something, and what it is about.
fn told(operation: &Operation) -> String {
    let mark = if operation.mutating { "!" } else { "" };
    let about: Vec<_> = operation.identifiers.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{mark}{operation}{}", about.concat())
}

#[test]
fn forms_name_their_action() {
    let create = form("ec2", "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0%2F16&ClientToken=a+b%2Bc");
    assert_eq!(told(&create), "!ec2:CreateVpc ClientToken=a b+c");
    assert_eq!(create.form, Form::Ec2);
    let read = form("ec2", "Action=DescribeVpcs&Filter.1.Name=tag&Filter.1.Value.1=x&VpcId.1=vpc-1");
    assert_eq!(told(&read), "ec2:DescribeVpcs VpcId.1=vpc-1");
    assert_eq!(told(&form("iam", "Action=CreateRole&RoleName=nodes")), "!iam:CreateRole RoleName=nodes");
    assert_eq!(form("autoscaling", "Action=CreateAutoScalingGroup").form, Form::Query);
}

#[test]
fn a_dry_run_and_a_session_change_nothing() {
    assert_eq!(told(&form("ec2", "Action=RunInstances&DryRun=true")), "ec2:RunInstances");
    assert_eq!(told(&form("ec2", "Action=RunInstances&DryRun=false")), "!ec2:RunInstances");
    assert_eq!(told(&form("sts", "Action=AssumeRole")), "sts:AssumeRole");
    assert_eq!(told(&form("iam", "Action=SimulatePrincipalPolicy")), "iam:SimulatePrincipalPolicy");
}

#[test]
fn without_a_signature_the_version_tells_the_service() {
    let operation = form("", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
    assert_eq!(operation.to_string(), "sts:AssumeRoleWithWebIdentity");
    assert_eq!(form("", "Action=Something").to_string(), "unknown:Something");
}

#[test]
fn targets_name_their_action() {
    let body = r#"{"FileSystemId":"fs-1","Tags":[{"Key":"a"}],"ClientRequestToken":"t"}"#;
    let update = json("fsx", "AWSSimbaAPIService_v20180301.UpdateFileSystem", "1.1", body);
    assert_eq!(told(&update), "!fsx:UpdateFileSystem ClientRequestToken=t FileSystemId=fs-1");
    assert_eq!(update.form, Form::Json("1.1"));
    let quota = json("servicequotas", "ServiceQuotasV20190624.GetServiceQuota", "1.1", "{}");
    assert_eq!(told(&quota), "servicequotas:GetServiceQuota");
    let tagging = json("tagging", "ResourceGroupsTaggingAPI_20170126.GetResources", "1.1", "");
    assert_eq!(told(&tagging), "tagging:GetResources");
    assert_eq!(json("", "AmazonSSM.GetParameter", "1.0", "").form, Form::Json("1.0"));
    assert_eq!(json("", "AmazonSSM.GetParameter", "1.0", "").service, "ssm");
}

#[test]
fn eks_is_told_by_method_and_path() {
    let operation = |line: &str| told(&Operation::of(&request("eks", line, &[], "")));
    assert_eq!(operation("POST /clusters"), "!eks:CreateCluster");
    assert_eq!(operation("GET /clusters?maxResults=100"), "eks:ListClusters");
    assert_eq!(operation("GET /clusters/desk"), "eks:DescribeCluster name=desk");
    assert_eq!(operation("GET /clusters/desk/node-groups/gpus"), "eks:DescribeNodegroup name=desk nodegroupName=gpus");
    assert_eq!(operation("POST /clusters/desk/update-config"), "!eks:UpdateClusterConfig name=desk");
    assert_eq!(operation("POST /clusters/desk/updates"), "!eks:UpdateClusterVersion name=desk");
    assert_eq!(operation("GET /addons/supported-versions"), "eks:DescribeAddonVersions");
    assert_eq!(
        operation("DELETE /clusters/desk/access-entries/arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fnodes"),
        "!eks:DeleteAccessEntry name=desk principalArn=arn:aws:iam::1:role/nodes"
    );
    assert_eq!(
        operation("DELETE /tags/arn%3Aaws%3Aeks%3Aus-west-2%3A1%3Acluster%2Fdesk?tagKeys=a"),
        "!eks:UntagResource resourceArn=arn:aws:eks:us-west-2:1:cluster/desk"
    );
    assert_eq!(operation("GET /nothing/of/this"), "!eks:Unknown");
}

#[test]
fn s3_is_told_by_method_path_and_query() {
    let operation = |line: &str| {
        let operation = Operation::of(&request("s3", line, &[], ""));
        assert_eq!(operation.form, Form::RestXml);
        told(&operation)
    };
    assert_eq!(operation("GET /"), "s3:ListBuckets");
    assert_eq!(operation("PUT /data"), "!s3:CreateBucket Bucket=data");
    assert_eq!(operation("PUT /data/"), "!s3:CreateBucket Bucket=data");
    assert_eq!(operation("HEAD /data"), "s3:HeadBucket Bucket=data");
    assert_eq!(operation("DELETE /data"), "!s3:DeleteBucket Bucket=data");
    assert_eq!(operation("GET /data?list-type=2&prefix=a"), "s3:ListObjectsV2 Bucket=data");
    assert_eq!(operation("GET /data?versions"), "s3:ListObjectVersions Bucket=data");
    assert_eq!(operation("GET /data"), "s3:ListObjects Bucket=data");
    assert_eq!(operation("POST /data?delete"), "!s3:DeleteObjects Bucket=data");
    assert_eq!(operation("PUT /data?versioning"), "!s3:PutBucketVersioning Bucket=data");
    assert_eq!(operation("PUT /data?publicAccessBlock="), "!s3:PutPublicAccessBlock Bucket=data");
    assert_eq!(operation("GET /data?lifecycle"), "s3:GetBucketLifecycleConfiguration Bucket=data");
    assert_eq!(operation("DELETE /data?lifecycle"), "!s3:DeleteBucketLifecycle Bucket=data");
    assert_eq!(operation("PUT /data/a/b%20c?x-id=PutObject"), "!s3:PutObject Bucket=data Key=a/b c");
    assert_eq!(operation("PUT /data/a"), "!s3:PutObject Bucket=data Key=a");
    assert_eq!(operation("GET /data/a"), "s3:GetObject Bucket=data Key=a");
    assert_eq!(operation("HEAD /data/a"), "s3:HeadObject Bucket=data Key=a");
    assert_eq!(operation("DELETE /data/a?versionId=1"), "!s3:DeleteObject Bucket=data Key=a");
    assert_eq!(operation("PUT /data/a?tagging"), "!s3:PutObjectTagging Bucket=data Key=a");
    assert_eq!(operation("POST /data/a?uploads"), "!s3:CreateMultipartUpload Bucket=data Key=a");
    assert_eq!(operation("PUT /data/a?partNumber=1&uploadId=u"), "!s3:UploadPart Bucket=data Key=a");
    assert_eq!(operation("POST /data/a?uploadId=u"), "!s3:CompleteMultipartUpload Bucket=data Key=a");
    assert_eq!(operation("DELETE /data/a?uploadId=u"), "!s3:AbortMultipartUpload Bucket=data Key=a");
    assert_eq!(operation("GET /data/a?uploadId=u"), "s3:ListParts Bucket=data Key=a");
}

#[test]
fn s3_may_have_its_bucket_in_the_host_and_its_signature_in_the_query() {
    let mut hosted = request("s3", "GET /a/b", &[], "");
    hosted.headers_mut().insert("host", "data.s3.us-west-2.amazonaws.com".parse().unwrap());
    assert_eq!(told(&Operation::of(&hosted)), "s3:GetObject Bucket=data Key=a/b");
    let presigned = "GET /data/a?X-Amz-Credential=AKIA%2F20261121%2Fus-west-2%2Fs3%2Faws4_request&X-Amz-Signature=0";
    assert_eq!(told(&Operation::of(&request("", presigned, &[], ""))), "s3:GetObject Bucket=data Key=a");
}
