//! The network of a cluster on the emulated AWS.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without ends it")]
#![allow(clippy::large_futures, reason = "futures of the SDK are large, and each of these is made once")]

mod aws;

use aws::{Emulator, Trial, tags};
use forge_engine::kind::{ErrorClass, Kind, Readiness};
use forge_modules::aws::{
    elastic_ip, internet_gateway, nat_gateway, placement_group, route_table, security_group, subnet, vpc, vpc_endpoint,
};
use serde_json::{Value as Json, json};

fn with(spec: &Json, changes: Json) -> Json {
    let mut spec = spec.clone();
    spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    spec
}

#[tokio::test]
async fn a_network_is_made_changed_and_unmade() {
    let emulator = Emulator::start();
    let cloud = emulator.cloud();
    let (vpcs, subnets) = (Trial::<vpc::Spec>::new(&cloud), Trial::<subnet::Spec>::new(&cloud));
    let gateways = Trial::<internet_gateway::Spec>::new(&cloud);
    let (addresses, nats) = (Trial::<elastic_ip::Spec>::new(&cloud), Trial::<nat_gateway::Spec>::new(&cloud));
    let (tables, endpoints) = (Trial::<route_table::Spec>::new(&cloud), Trial::<vpc_endpoint::Spec>::new(&cloud));
    let groups = Trial::<security_group::Spec>::new(&cloud);

    let spec = json!({"cidr": "10.0.0.9/16", "tags": {"Name": "trial"}});
    let vpc = vpcs.makes(&spec, &tags("network.vpc", "o1")).await.id;
    let changed = with(&spec, json!({"dns_hostnames": false, "tags": {"Name": "other", "team": "a"}}));
    vpcs.changes(&vpc, &spec, &changed, &tags("network.moved", "o1")).await;
    vpcs.changes(&vpc, &changed, &spec, &tags("network.vpc", "o1")).await;

    let public = json!({
        "vpc": vpc, "cidr": "10.0.1.0/24", "zone": "us-west-2a", "public_addresses": true,
        "tags": {"kubernetes.io/role/elb": "1"},
    });
    let private = json!({"vpc": vpc, "cidr": "10.0.101.0/24", "zone": "us-west-2b"});
    let public_tags = tags("network.public[0]", "o2");
    let subnet = subnets.makes(&public, &public_tags).await.id;
    let closed = with(&public, json!({"public_addresses": false}));
    subnets.changes(&subnet, &public, &closed, &public_tags).await;
    subnets.changes(&subnet, &closed, &public, &public_tags).await;
    let inner = subnets.makes(&private, &tags("network.private[0]", "o3")).await.id;
    let both = [subnet.clone(), "subnet-0123456789abcdef0".to_owned(), inner.clone()];
    let read = subnets.kind.read_many(&both).await.unwrap();
    assert_eq!(read.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);

    let spec = json!({"vpc": vpc});
    let gateway = gateways.makes(&spec, &tags("network.gateway", "o4")).await.id;
    gateways.changes(&gateway, &spec, &with(&spec, json!({"tags": {"a": "b"}})), &tags("network.gateway", "o4")).await;
    let spec = json!({});
    let address = addresses.makes(&spec, &tags("network.address[0]", "o5")).await;
    let named = with(&spec, json!({"tags": {"Name": "x"}}));
    let kept = addresses.changes(&address.id, &spec, &named, &tags("network.address[0]", "o5")).await;
    assert_eq!(kept.outputs, address.outputs);
    let spec = json!({"subnet": subnet, "elastic_ip": address.id});
    let nat = nats.makes(&spec, &tags("network.nat[0]", "o6")).await.id;
    nats.changes(&nat, &spec, &with(&spec, json!({"tags": {"a": "b"}})), &tags("network.nat[0]", "o6")).await;

    let out = json!({"vpc": vpc, "routes": [{"cidr": "0.0.0.0/0", "via": {"internet_gateway": gateway}}], "subnets": [subnet]});
    let table = tables.makes(&out, &tags("network.public_routes", "o7")).await.id;
    let rerouted = with(
        &out,
        json!({"routes": [
            {"cidr": "0.0.0.0/0", "via": {"nat_gateway": nat}},
            {"cidr": "192.168.0.0/16", "via": {"internet_gateway": gateway}},
        ], "subnets": []}),
    );
    tables.changes(&table, &out, &rerouted, &tags("network.public_routes", "o7")).await;
    let by_nat =
        json!({"vpc": vpc, "routes": [{"cidr": "0.0.0.0/0", "via": {"nat_gateway": nat}}], "subnets": [inner]});
    let inner_table = tables.makes(&by_nat, &tags("network.private_routes[0]", "o8")).await.id;
    let taken = tables.try_create(&with(&out, json!({"subnets": [inner]})), &tags("x", "o9")).await.unwrap_err();
    assert_eq!(taken.class, ErrorClass::NotYetVisible);
    assert_eq!(taken.message, format!("ec2:AssociateRouteTable: {inner} uses {inner_table}"));

    let s3 = json!({"vpc": vpc, "service": "com.amazonaws.us-west-2.s3", "route_tables": [inner_table]});
    let s3_tags = tags("network.s3", "o10");
    let endpoint = endpoints.makes(&s3, &s3_tags).await.id;
    // Its routes are not the table's.
    Trial::<route_table::Spec>::as_asked(
        &tables.ready(&inner_table).await,
        &by_nat,
        &tags("network.private_routes[0]", "o8"),
    );
    endpoints.changes(&endpoint, &s3, &with(&s3, json!({"route_tables": [inner_table, table]})), &s3_tags).await;
    let members = json!({"name": "nodes", "description": "d", "vpc": vpc, "ingress": [{"peer": {"group": "self"}}]});
    let group = groups.makes(&members, &tags("network.nodes", "o11")).await.id;
    let sts = json!({
        "vpc": vpc, "service": "com.amazonaws.us-west-2.sts", "form": "interface", "subnets": [inner],
        "security_groups": [group], "private_dns": true,
    });
    let named = endpoints.makes(&sts, &tags("network.endpoint[0]", "o12")).await.id;
    let unnamed = with(&sts, json!({"private_dns": false}));
    endpoints.changes(&named, &sts, &unnamed, &tags("network.endpoint[0]", "o12")).await;

    // Nothing goes while something stands in it, and what that is is said.
    for (refused, culprit) in [
        (vpcs.kind.delete(&vpc).await, subnet.as_str()),
        (subnets.kind.delete(&inner).await, "eni-"),
        (groups.kind.delete(&group).await, "eni-"),
        (gateways.kind.delete(&gateway).await, "eni-"),
        (addresses.kind.delete(&address.id).await, "eni-"),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.class, ErrorClass::NotYetVisible, "{}", refused.message);
        assert!(refused.message.contains(culprit), "{}", refused.message);
    }
    endpoints.deletes(&named).await;
    endpoints.deletes(&endpoint).await;
    groups.deletes(&group).await;
    nats.deletes(&nat).await;
    addresses.deletes(&address.id).await;
    gateways.deletes(&gateway).await;
    for table in tables.kind.list(&aws::deployment()).await.unwrap() {
        tables.deletes(&table.id).await;
    }
    subnets.deletes(&subnet).await;
    subnets.deletes(&inner).await;
    vpcs.deletes(&vpc).await;
    let left = emulator.ask("GET", "dump", &Json::Null);
    let ours = |thing: &&Json| thing["tags"].get("forge:deployment").is_some();
    let left: Vec<&Json> = left["resources"].as_array().unwrap().iter().filter(ours).collect();
    assert_eq!(left, Vec::<&Json>::new());
}

#[tokio::test]
async fn a_security_group_takes_few_requests_and_holds_its_rules() {
    let emulator = Emulator::start();
    let cloud = emulator.cloud();
    let vpc = Trial::<vpc::Spec>::new(&cloud).create(&json!({"cidr": "10.0.0.0/16"}), &tags("vpc", "o1")).await.id;
    let groups = Trial::<security_group::Spec>::new(&cloud);
    let everywhere = json!({"peer": {"cidr": "0.0.0.0/0"}});
    let own = json!({"peer": {"group": "self"}});
    let lustre = json!({"peer": {"cidr": "10.0.0.0/16"}, "protocol": "tcp", "ports": {"from": 988, "to": 988}});
    let spec = json!({
        "name": "nodes", "description": "EFA", "vpc": vpc,
        "ingress": [own, lustre, {"peer": {"cidr": "10.0.0.0/16"}, "protocol": "udp"}], "egress": [own, everywhere],
    });
    let nodes_tags = tags("network.nodes", "o2");
    emulator.requests("ec2");
    let nodes = groups.create(&spec, &nodes_tags).await.id;
    let actions = |counts: Vec<(String, u64)>| counts.into_iter().map(|(action, _)| action).collect::<Vec<_>>();
    assert_eq!(
        actions(emulator.requests("ec2")),
        ["AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress", "CreateSecurityGroup"]
    );
    groups.makes(&spec, &nodes_tags).await;
    let fewer = with(
        &spec,
        json!({
            "ingress": [lustre, {"peer": {"cidr": "10.9.0.0/16"}, "protocol": "tcp", "ports": {"from": 22, "to": 22}}],
            "egress": [], "tags": {"Name": "x"},
        }),
    );
    groups.changes(&nodes, &spec, &fewer, &nodes_tags).await;
    groups.changes(&nodes, &fewer, &spec, &nodes_tags).await;

    // One without rules has not even AWS's own.
    let closed = json!({"name": "closed", "description": "nobody", "vpc": vpc});
    emulator.requests("ec2");
    let shut = groups.create(&closed, &tags("shut", "o3")).await.id;
    assert_eq!(actions(emulator.requests("ec2")), ["CreateSecurityGroup", "RevokeSecurityGroupEgress"]);
    groups.makes(&closed, &tags("shut", "o3")).await;

    // The name is taken: by another of this deployment, and by nobody known.
    let refused = groups.try_create(&spec, &tags("network.other", "o4")).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Terminal);
    assert_eq!(refused.message, "security group nodes exists already: this deployment has made it as network.nodes");

    // What another group's rules speak of cannot go, and that is said.
    let peer = json!({"name": "peer", "description": "p", "vpc": vpc, "ingress": [{"peer": {"group": nodes}}]});
    let peer = groups.makes(&peer, &tags("peer", "o5")).await.id;
    let refused = groups.kind.delete(&nodes).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::NotYetVisible);
    assert!(refused.message.ends_with(&format!("in the way: {peer} (peer)")), "{}", refused.message);
    groups.deletes(&peer).await;
    groups.deletes(&nodes).await;
    groups.deletes(&shut).await;
}

#[tokio::test]
async fn a_placement_group_is_found_again_by_its_name() {
    let emulator = Emulator::start();
    let groups = Trial::<placement_group::Spec>::new(&emulator.cloud());
    let spec = json!({"name": "ring"});
    let ring = groups.makes(&spec, &tags("ring.group", "o1")).await;
    assert_eq!(ring.outputs["name"], "ring");
    assert_eq!(ring.readiness, Readiness::Ready);
    groups.changes(&ring.id, &spec, &with(&spec, json!({"tags": {"a": "b"}})), &tags("ring.group", "o1")).await;
    let refused = groups.try_create(&spec, &tags("other.group", "o2")).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Terminal);
    assert_eq!(refused.message, "placement group ring exists already: this deployment has made it as ring.group");
    let parts = json!({"name": "parts", "strategy": "partition", "partitions": 3});
    let parts = groups.makes(&parts, &tags("parts.group", "o3")).await.id;
    groups.deletes(&ring.id).await;
    groups.deletes(&parts).await;
}

#[tokio::test]
async fn creations_converge_when_aws_hides_what_it_has_made_or_breaks_off_in_between() {
    let emulator = Emulator::start();
    let cloud = emulator.cloud();
    let vpc = Trial::<vpc::Spec>::new(&cloud).create(&json!({"cidr": "10.0.0.0/16"}), &tags("vpc", "o1")).await.id;
    let subnet = json!({"vpc": vpc, "cidr": "10.0.1.0/24", "zone": "us-west-2a"});
    let subnet = Trial::<subnet::Spec>::new(&cloud).create(&subnet, &tags("subnet", "o2")).await.id;
    let gateway =
        Trial::<internet_gateway::Spec>::new(&cloud).create(&json!({"vpc": vpc}), &tags("igw", "o3")).await.id;
    let address = Trial::<elastic_ip::Spec>::new(&cloud).create(&json!({}), &tags("eip", "o4")).await.id;
    let lost =
        |action: &str| json!({"action": format!("ec2:{action}"), "status": 503, "code": "Unavailable", "done": true});
    let refused = |action: &str| json!({"action": format!("ec2:{action}"), "status": 500, "code": "InternalError"});
    let faults = json!([
        lost("CreateSecurityGroup"),
        lost("AuthorizeSecurityGroupIngress"),
        refused("AuthorizeSecurityGroupEgress"),
        lost("RevokeSecurityGroupEgress"),
        lost("CreateRouteTable"),
        lost("CreateRoute"),
        lost("AssociateRouteTable"),
        lost("CreateNatGateway"),
        lost("CreateVpcEndpoint"),
        lost("CreatePlacementGroup"),
    ]);
    emulator.ask("POST", "settings", &json!({"visibility_seconds": 0.2, "faults": faults}));

    let groups = Trial::<security_group::Spec>::new(&cloud);
    let own = json!({"peer": {"group": "self"}});
    let group = json!({"name": "g", "description": "d", "vpc": vpc, "ingress": [own], "egress": [own]});
    let group_tags = tags("group", "o5");
    let made = groups.persists(&group, &group_tags).await.id;
    let tables = Trial::<route_table::Spec>::new(&cloud);
    let table = json!({"vpc": vpc, "routes": [{"cidr": "0.0.0.0/0", "via": {"internet_gateway": gateway}}], "subnets": [subnet]});
    let table_id = tables.persists(&table, &tags("table", "o6")).await.id;
    let nats = Trial::<nat_gateway::Spec>::new(&cloud);
    let nat = json!({"subnet": subnet, "elastic_ip": address});
    let nat_id = nats.persists(&nat, &tags("nat", "o7")).await.id;
    let endpoints = Trial::<vpc_endpoint::Spec>::new(&cloud);
    let s3 = json!({"vpc": vpc, "service": "com.amazonaws.us-west-2.s3", "route_tables": [table_id]});
    let s3_id = endpoints.persists(&s3, &tags("s3", "o8")).await.id;
    let rings = Trial::<placement_group::Spec>::new(&cloud);
    let ring = json!({"name": "ring"});
    let ring_id = rings.persists(&ring, &tags("ring", "o9")).await.id;

    emulator.ask("POST", "settings", &json!({"visibility_seconds": 0}));
    let settings = emulator.ask("GET", "settings", &Json::Null);
    let left = settings["faults"].as_array().unwrap().iter().filter(|fault| fault["times"] != 0).count();
    assert_eq!(left, 0, "{settings}");
    Trial::<security_group::Spec>::as_asked(&groups.ready(&made).await, &group, &group_tags);
    Trial::<route_table::Spec>::as_asked(&tables.ready(&table_id).await, &table, &tags("table", "o6"));
    Trial::<nat_gateway::Spec>::as_asked(&nats.ready(&nat_id).await, &nat, &tags("nat", "o7"));
    Trial::<vpc_endpoint::Spec>::as_asked(&endpoints.ready(&s3_id).await, &s3, &tags("s3", "o8"));
    Trial::<placement_group::Spec>::as_asked(&rings.ready(&ring_id).await, &ring, &tags("ring", "o9"));
    // Of each there is one.
    assert_eq!(groups.kind.list(&aws::deployment()).await.unwrap().len(), 1);
    assert_eq!(tables.kind.list(&aws::deployment()).await.unwrap().len(), 1);
    assert_eq!(nats.kind.list(&aws::deployment()).await.unwrap().len(), 1);
    assert_eq!(endpoints.kind.list(&aws::deployment()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_cluster_has_left_behind_goes_with_what_it_stands_in() {
    let emulator = Emulator::start();
    let cloud = emulator.cloud();
    let (vpcs, subnets) = (Trial::<vpc::Spec>::new(&cloud), Trial::<subnet::Spec>::new(&cloud));
    let groups = Trial::<security_group::Spec>::new(&cloud);
    let vpc = vpcs.create(&json!({"cidr": "10.0.0.0/16"}), &tags("vpc", "o1")).await.id;
    let subnet = json!({"vpc": vpc, "cidr": "10.0.1.0/24", "zone": "us-west-2a"});
    let subnet = subnets.create(&subnet, &tags("subnet", "o2")).await.id;
    let nodes = json!({"name": "nodes", "description": "d", "vpc": vpc});
    let nodes = groups.create(&nodes, &tags("nodes", "o3")).await.id;

    // Of a cluster: an interface of a node that has ended, and two groups that speak of each other and of the nodes'.
    let interface = format!("Action=CreateNetworkInterface&SubnetId={subnet}&Description=aws-K8S-i-0abc");
    emulator.ec2(&interface, "networkInterfaceId");
    let group = |name: &str, tag: &str| {
        let create = format!("Action=CreateSecurityGroup&VpcId={vpc}&GroupName={name}&GroupDescription=d");
        let tagged = "TagSpecification.1.ResourceType=security-group&TagSpecification.1.Tag.1";
        emulator.ec2(&format!("{create}&{tagged}.Key={tag}&{tagged}.Value=owned"), "groupId")
    };
    let cluster = group("eks-cluster-sg-train", "kubernetes.io/cluster/train");
    let balancer = group("k8s-elb-1", "kubernetes.io/cluster/train");
    let stranger = group("mine", "owner");
    for (of, peer) in [(&cluster, &balancer), (&balancer, &cluster), (&cluster, &nodes)] {
        let rule = format!("IpPermissions.1.IpProtocol=-1&IpPermissions.1.Groups.1.GroupId={peer}");
        emulator.ec2(&format!("Action=AuthorizeSecurityGroupIngress&GroupId={of}&{rule}"), "return");
    }

    let refused = groups.kind.delete(&nodes).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::NotYetVisible);
    groups.deletes(&nodes).await;
    let refused = subnets.kind.delete(&subnet).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::NotYetVisible);
    subnets.deletes(&subnet).await;
    let refused = vpcs.kind.delete(&vpc).await.unwrap_err();
    assert!(refused.message.ends_with(&format!("in the way: {stranger} (mine)")), "{}", refused.message);
    let left = emulator.ask("GET", "dump", &Json::Null);
    let ids: Vec<&str> =
        left["resources"].as_array().unwrap().iter().filter_map(|thing| thing["id"].as_str()).collect();
    assert!(ids.contains(&stranger.as_str()), "{ids:?}");
    assert!(!ids.contains(&cluster.as_str()) && !ids.contains(&balancer.as_str()), "{ids:?}");
    emulator.ec2(&format!("Action=DeleteSecurityGroup&GroupId={stranger}"), "requestId");
    vpcs.deletes(&vpc).await;
}
