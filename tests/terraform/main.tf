# The reference cluster for Terraform: what `tests/benches/terraform/stacks.rs` gives forge as a blueprint, object by object.
# Names, sizes and rules are those that forge's modules choose. Rules and routes stand inside their groups and tables, as
# forge has them: that is the fewest resources, and the fewest requests.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" {
  description = "Where the emulated AWS answers"
  type        = string
}

variable "waits" {
  description = "Whether to make also what the provider waits for by the clock, however soon AWS is done with it"
  type        = bool
  default     = true
}

variable "agent" {
  description = "The file that nodes fetch from the bucket when they start"
  type        = string
}

provider "aws" {
  region                      = "us-west-2"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  endpoints {
    autoscaling = var.endpoint
    ec2         = var.endpoint
    eks         = var.endpoint
    fsx         = var.endpoint
    iam         = var.endpoint
    s3          = var.endpoint
    sts         = var.endpoint
  }
  default_tags {
    tags = { project = "train" }
  }
}

locals {
  zones = ["us-west-2a", "us-west-2b"]
  # Cards of EFA: card 0 carries IP at device 0 and EFA at device 1, the others EFA alone.
  pools = {
    cpu = { type = "m5.xlarge", cards = 0, disk = 100, ami = "AL2023_x86_64_STANDARD", taint = null, bucket = false }
    gpu = { type = "p4d.24xlarge", cards = 4, disk = 200, ami = "AL2023_x86_64_NVIDIA", taint = "nvidia.com/gpu", bucket = true }
    trn = { type = "trn1.32xlarge", cards = 8, disk = 512, ami = "AL2023_x86_64_NEURON", taint = "aws.amazon.com/neuron", bucket = true }
  }
  with_efa = { for name, pool in local.pools : name => pool if pool.cards > 0 }
}

# Network

resource "aws_vpc" "this" {
  cidr_block           = "10.0.0.0/16"
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = "train-network" }
}

resource "aws_subnet" "public" {
  count                   = 2
  vpc_id                  = aws_vpc.this.id
  cidr_block              = ["10.0.1.0/24", "10.0.2.0/24"][count.index]
  availability_zone       = local.zones[count.index]
  map_public_ip_on_launch = true
  tags                    = { Name = "train-network-public-${count.index}", "kubernetes.io/role/elb" = "1" }
}

resource "aws_subnet" "private" {
  count             = 2
  vpc_id            = aws_vpc.this.id
  cidr_block        = ["10.0.101.0/24", "10.0.102.0/24"][count.index]
  availability_zone = local.zones[count.index]
  tags              = { Name = "train-network-private-${count.index}", "kubernetes.io/role/internal-elb" = "1" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "train-network" }
}

resource "aws_eip" "nat" {
  domain     = "vpc"
  tags       = { Name = "train-network-nat-0" }
  depends_on = [aws_internet_gateway.this]
}

resource "aws_nat_gateway" "this" {
  allocation_id = aws_eip.nat.id
  subnet_id     = aws_subnet.public[0].id
  tags          = { Name = "train-network-0" }
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "train-network-public" }
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "train-network-private-0" }
  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.this.id
  }
}

resource "aws_route_table_association" "public" {
  count          = 2
  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table_association" "private" {
  count          = 2
  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id          = aws_vpc.this.id
  service_name    = "com.amazonaws.us-west-2.s3"
  route_table_ids = [aws_route_table.private.id]
  tags            = { Name = "train-network-s3" }
}

resource "aws_security_group" "nodes" {
  name        = "train-network-nodes"
  description = "Nodes reach each other over every protocol, EFA too"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "train-network-nodes" }
  ingress {
    protocol  = "-1"
    from_port = 0
    to_port   = 0
    self      = true
  }
  dynamic "ingress" {
    for_each = [[988, 988], [1018, 1023]]
    content {
      protocol    = "tcp"
      from_port   = ingress.value[0]
      to_port     = ingress.value[1]
      cidr_blocks = ["10.0.0.0/16"]
    }
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    self        = true
    cidr_blocks = ["0.0.0.0/0"]
  }
}

# Bucket

resource "aws_s3_bucket" "data" {
  bucket        = "train-data-123456789012-us-west-2"
  force_destroy = true
}

resource "aws_s3_bucket_versioning" "data" {
  bucket = aws_s3_bucket.data.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "data" {
  bucket = aws_s3_bucket.data.id
  rule {
    apply_server_side_encryption_by_default { sse_algorithm = "AES256" }
  }
}

resource "aws_s3_bucket_public_access_block" "data" {
  bucket                  = aws_s3_bucket.data.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "data" {
  bucket = aws_s3_bucket.data.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.data.arn, "${aws_s3_bucket.data.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
  depends_on = [aws_s3_bucket_public_access_block.data]
}

resource "aws_s3_bucket_lifecycle_configuration" "data" {
  count  = var.waits ? 1 : 0
  bucket = aws_s3_bucket.data.id
  rule {
    id     = "uploads"
    status = "Enabled"
    filter { prefix = "" }
    abort_incomplete_multipart_upload { days_after_initiation = 1 }
  }
  rule {
    id     = "versions"
    status = "Enabled"
    filter { prefix = "" }
    noncurrent_version_expiration { noncurrent_days = 7 }
    expiration { expired_object_delete_marker = true }
  }
  depends_on = [aws_s3_bucket_versioning.data]
}

# What nodes fetch; one for each module of nodes that train, as forge has it.
resource "aws_s3_object" "agent" {
  for_each           = local.with_efa
  bucket             = aws_s3_bucket.data.id
  key                = "agents/${each.key}"
  source             = var.agent
  source_hash        = filesha256(var.agent)
  checksum_algorithm = "SHA256"
  depends_on         = [aws_s3_bucket_versioning.data]
}

# Roles

locals {
  bucket_access = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["s3:ListBucket"], Resource = [aws_s3_bucket.data.arn] },
      {
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        Resource = ["${aws_s3_bucket.data.arn}/*"]
      },
    ]
  })
  roles = merge(
    {
      cluster      = { trusts = "eks.amazonaws.com", policies = ["AmazonEKSClusterPolicy"], bucket = false }
      cluster-cni  = { trusts = "pods.eks.amazonaws.com", policies = ["AmazonEKS_CNI_Policy"], bucket = false }
      cluster-jobs = { trusts = "pods.eks.amazonaws.com", policies = [], bucket = true }
    },
    { for name, pool in local.pools : name => {
      trusts   = "ec2.amazonaws.com"
      policies = ["AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy", "AmazonSSMManagedInstanceCore"]
      bucket   = pool.bucket
    } },
  )
  attachments = merge([for name, role in local.roles : { for policy in role.policies : "${name}/${policy}" => { role = name, policy = policy } }]...)
}

resource "aws_iam_role" "this" {
  for_each = local.roles
  name     = "train-${each.key}-us-west-2"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = each.value.trusts == "pods.eks.amazonaws.com" ? ["sts:AssumeRole", "sts:TagSession"] : ["sts:AssumeRole"]
      Principal = { Service = each.value.trusts }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each   = local.attachments
  role       = aws_iam_role.this[each.value.role].name
  policy_arn = "arn:aws:iam::aws:policy/${each.value.policy}"
}

resource "aws_iam_role_policy" "bucket" {
  for_each = { for name, role in local.roles : name => role if role.bucket }
  name     = "bucket"
  role     = aws_iam_role.this[each.key].name
  policy   = local.bucket_access
}

resource "aws_iam_openid_connect_provider" "this" {
  url            = aws_eks_cluster.this.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

# Cluster

resource "aws_eks_cluster" "this" {
  name                          = "train-cluster"
  version                       = "1.35"
  role_arn                      = aws_iam_role.this["cluster"].arn
  bootstrap_self_managed_addons = false
  enabled_cluster_log_types     = ["audit", "authenticator"]
  vpc_config {
    subnet_ids              = concat(aws_subnet.private[*].id, aws_subnet.public[*].id)
    endpoint_private_access = true
    endpoint_public_access  = true
  }
  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }
  depends_on = [aws_iam_role_policy_attachment.this]
}

resource "aws_eks_addon" "cni" {
  cluster_name = aws_eks_cluster.this.name
  addon_name   = "vpc-cni"
  pod_identity_association {
    service_account = "aws-node"
    role_arn        = aws_iam_role.this["cluster-cni"].arn
  }
}

resource "aws_eks_addon" "this" {
  for_each     = toset(["coredns", "kube-proxy", "eks-pod-identity-agent"])
  cluster_name = aws_eks_cluster.this.name
  addon_name   = each.key
}

resource "aws_eks_pod_identity_association" "jobs" {
  cluster_name    = aws_eks_cluster.this.name
  namespace       = "default"
  service_account = "train"
  role_arn        = aws_iam_role.this["cluster-jobs"].arn
}

# Nodes

resource "aws_placement_group" "this" {
  for_each = local.with_efa
  name     = "train-${each.key}-ring"
  strategy = "cluster"
  tags     = { Name = "train-${each.key}-ring" }
}

resource "aws_launch_template" "this" {
  for_each      = local.pools
  name          = "train-${each.key}-pool-on-demand"
  instance_type = each.value.type
  user_data = each.value.cards == 0 ? null : base64encode(<<-END
    MIME-Version: 1.0
    Content-Type: multipart/mixed; boundary="nodes"

    --nodes
    Content-Type: application/node.eks.aws

    apiVersion: node.eks.aws/v1alpha1
    kind: NodeConfig
    spec:
      instance: { localStorage: { strategy: RAID0 } }
      kubelet: { maxPodsExpression: "(default_enis - 1) * (ips_per_eni - 1) + 2" }

    --nodes--
  END
  )
  vpc_security_group_ids = each.value.cards > 0 ? null : [
    aws_security_group.nodes.id,
    aws_eks_cluster.this.vpc_config[0].cluster_security_group_id,
  ]
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = each.value.disk
      volume_type           = "gp3"
      encrypted             = "true"
      delete_on_termination = "true"
    }
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }
  dynamic "placement" {
    for_each = each.value.cards > 0 ? [1] : []
    content { group_name = aws_placement_group.this[each.key].name }
  }
  dynamic "network_interfaces" {
    for_each = each.value.cards > 0 ? concat([{ card = 0, device = 0, type = null }], [for card in range(each.value.cards) : {
      card   = card
      device = card == 0 ? 1 : 0
      type   = "efa-only"
    }]) : []
    content {
      network_card_index    = network_interfaces.value.card
      device_index          = network_interfaces.value.device
      interface_type        = network_interfaces.value.type
      delete_on_termination = "true"
      security_groups = [
        aws_security_group.nodes.id,
        aws_eks_cluster.this.vpc_config[0].cluster_security_group_id,
      ]
    }
  }
  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "train-${each.key}-pool" }
  }
}

resource "aws_eks_node_group" "this" {
  for_each        = local.pools
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "${each.key}-pool-on-demand"
  node_role_arn   = aws_iam_role.this[each.key].arn
  # Nodes with EFA stand in one zone.
  subnet_ids    = each.value.cards > 0 ? [aws_subnet.private[0].id] : aws_subnet.private[*].id
  ami_type      = each.value.ami
  capacity_type = "ON_DEMAND"
  labels        = { pool = each.key }
  launch_template {
    id      = aws_launch_template.this[each.key].id
    version = aws_launch_template.this[each.key].latest_version
  }
  scaling_config {
    min_size     = 2
    desired_size = 2
    max_size     = 2
  }
  update_config { max_unavailable = 1 }
  dynamic "taint" {
    for_each = each.value.taint == null ? [] : [each.value.taint]
    content {
      key    = taint.value
      value  = "true"
      effect = "NO_SCHEDULE"
    }
  }
  depends_on = [
    aws_eks_addon.cni,
    aws_iam_role_policy_attachment.this,
    aws_iam_role_policy.bucket,
    aws_s3_object.agent,
  ]
}

# File system

resource "aws_security_group" "lustre" {
  count       = var.waits ? 1 : 0
  name        = "train-scratch"
  description = "Lustre between file servers and nodes"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "train-scratch" }
  dynamic "ingress" {
    for_each = [[988, 988], [1018, 1023]]
    content {
      protocol        = "tcp"
      from_port       = ingress.value[0]
      to_port         = ingress.value[1]
      self            = true
      security_groups = [aws_security_group.nodes.id]
    }
  }
  dynamic "egress" {
    for_each = [[988, 988], [1018, 1023]]
    content {
      protocol        = "tcp"
      from_port       = egress.value[0]
      to_port         = egress.value[1]
      self            = true
      security_groups = [aws_security_group.nodes.id]
    }
  }
}

resource "aws_fsx_lustre_file_system" "this" {
  count                       = var.waits ? 1 : 0
  deployment_type             = "PERSISTENT_2"
  storage_type                = "SSD"
  storage_capacity            = 1200
  per_unit_storage_throughput = 250
  data_compression_type       = "LZ4"
  file_system_type_version    = "2.15"
  subnet_ids                  = [aws_subnet.private[0].id]
  security_group_ids          = [aws_security_group.lustre[0].id]
  metadata_configuration { mode = "AUTOMATIC" }
  tags = { Name = "train-scratch" }
}

resource "aws_fsx_data_repository_association" "this" {
  count                    = var.waits ? 1 : 0
  file_system_id           = aws_fsx_lustre_file_system.this[0].id
  data_repository_path     = "s3://${aws_s3_bucket.data.id}/data"
  file_system_path         = "/data"
  imported_file_chunk_size = 1024
  tags                     = { Name = "train-scratch" }
  s3 {
    auto_import_policy { events = ["NEW", "CHANGED", "DELETED"] }
    auto_export_policy { events = ["NEW", "CHANGED", "DELETED"] }
  }
}
