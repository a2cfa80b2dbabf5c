//! EKS by method and path.

use super::decoded;
use hyper::Method;

/// The operations of EKS: method, path with names of its parameters in braces, action. After the service's model of
/// 2017-11-01.
const EKS: &[(&str, &str, &str)] = &[
    ("POST", "clusters/{name}/access-entries/{principalArn}/access-policies", "AssociateAccessPolicy"),
    ("POST", "clusters/{name}/encryption-config/associate", "AssociateEncryptionConfig"),
    ("POST", "clusters/{name}/identity-provider-configs/associate", "AssociateIdentityProviderConfig"),
    ("POST", "clusters/{name}/access-entries", "CreateAccessEntry"),
    ("POST", "clusters/{name}/addons", "CreateAddon"),
    ("POST", "clusters/{name}/capabilities", "CreateCapability"),
    ("POST", "clusters", "CreateCluster"),
    ("POST", "clusters/{name}/fargate-profiles", "CreateFargateProfile"),
    ("POST", "clusters/{name}/node-groups", "CreateNodegroup"),
    ("POST", "clusters/{name}/pod-identity-associations", "CreatePodIdentityAssociation"),
    ("DELETE", "clusters/{name}/access-entries/{principalArn}", "DeleteAccessEntry"),
    ("DELETE", "clusters/{name}/addons/{addonName}", "DeleteAddon"),
    ("DELETE", "clusters/{name}/capabilities/{capabilityName}", "DeleteCapability"),
    ("DELETE", "clusters/{name}", "DeleteCluster"),
    ("DELETE", "clusters/{name}/fargate-profiles/{fargateProfileName}", "DeleteFargateProfile"),
    ("DELETE", "clusters/{name}/node-groups/{nodegroupName}", "DeleteNodegroup"),
    ("DELETE", "clusters/{name}/pod-identity-associations/{associationId}", "DeletePodIdentityAssociation"),
    ("DELETE", "cluster-registrations/{name}", "DeregisterCluster"),
    ("GET", "clusters/{name}/access-entries/{principalArn}", "DescribeAccessEntry"),
    ("GET", "clusters/{name}/addons/{addonName}", "DescribeAddon"),
    ("GET", "addons/configuration-schemas", "DescribeAddonConfiguration"),
    ("GET", "addons/supported-versions", "DescribeAddonVersions"),
    ("GET", "clusters/{name}/capabilities/{capabilityName}", "DescribeCapability"),
    ("GET", "clusters/{name}", "DescribeCluster"),
    ("GET", "cluster-versions", "DescribeClusterVersions"),
    ("GET", "clusters/{name}/fargate-profiles/{fargateProfileName}", "DescribeFargateProfile"),
    ("POST", "clusters/{name}/identity-provider-configs/describe", "DescribeIdentityProviderConfig"),
    ("GET", "clusters/{name}/insights/{id}", "DescribeInsight"),
    ("GET", "clusters/{name}/insights-refresh", "DescribeInsightsRefresh"),
    ("GET", "clusters/{name}/node-groups/{nodegroupName}", "DescribeNodegroup"),
    ("GET", "clusters/{name}/pod-identity-associations/{associationId}", "DescribePodIdentityAssociation"),
    ("GET", "clusters/{name}/updates/{updateId}", "DescribeUpdate"),
    ("DELETE", "clusters/{name}/access-entries/{principalArn}/access-policies/{policyArn}", "DisassociateAccessPolicy"),
    ("POST", "clusters/{name}/identity-provider-configs/disassociate", "DisassociateIdentityProviderConfig"),
    ("GET", "clusters/{name}/access-entries", "ListAccessEntries"),
    ("GET", "access-policies", "ListAccessPolicies"),
    ("GET", "clusters/{name}/addons", "ListAddons"),
    ("GET", "clusters/{name}/access-entries/{principalArn}/access-policies", "ListAssociatedAccessPolicies"),
    ("GET", "clusters/{name}/capabilities", "ListCapabilities"),
    ("GET", "clusters", "ListClusters"),
    ("GET", "clusters/{name}/fargate-profiles", "ListFargateProfiles"),
    ("GET", "clusters/{name}/identity-provider-configs", "ListIdentityProviderConfigs"),
    ("POST", "clusters/{name}/insights", "ListInsights"),
    ("GET", "clusters/{name}/node-groups", "ListNodegroups"),
    ("GET", "clusters/{name}/pod-identity-associations", "ListPodIdentityAssociations"),
    ("GET", "tags/{resourceArn}", "ListTagsForResource"),
    ("GET", "clusters/{name}/updates", "ListUpdates"),
    ("POST", "cluster-registrations", "RegisterCluster"),
    ("POST", "clusters/{name}/insights-refresh", "StartInsightsRefresh"),
    ("POST", "tags/{resourceArn}", "TagResource"),
    ("DELETE", "tags/{resourceArn}", "UntagResource"),
    ("POST", "clusters/{name}/access-entries/{principalArn}", "UpdateAccessEntry"),
    ("POST", "clusters/{name}/addons/{addonName}/update", "UpdateAddon"),
    ("POST", "clusters/{name}/capabilities/{capabilityName}", "UpdateCapability"),
    ("POST", "clusters/{name}/update-config", "UpdateClusterConfig"),
    ("POST", "clusters/{name}/updates", "UpdateClusterVersion"),
    ("POST", "clusters/{name}/node-groups/{nodegroupName}/update-config", "UpdateNodegroupConfig"),
    ("POST", "clusters/{name}/node-groups/{nodegroupName}/update-version", "UpdateNodegroupVersion"),
    ("POST", "clusters/{name}/pod-identity-associations/{associationId}", "UpdatePodIdentityAssociation"),
];

/// The action, and the parameters in the path.
pub(super) fn operation(method: &Method, path: &str) -> Option<(String, Vec<(String, String)>)> {
    // An ARN is one segment: its slashes are encoded.
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    EKS.iter().filter(|(verb, ..)| *verb == method.as_str()).find_map(|(_, template, action)| {
        let parameters = parameters(template, &segments)?;
        Some(((*action).to_owned(), parameters))
    })
}

fn parameters(template: &str, segments: &[&str]) -> Option<Vec<(String, String)>> {
    let wanted: Vec<&str> = template.split('/').collect();
    if wanted.len() != segments.len() {
        return None;
    }
    let mut found = Vec::new();
    for (wanted, is) in wanted.iter().zip(segments) {
        match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => found.push((name.to_owned(), decoded(is))),
            None if wanted == is => {}
            None => return None,
        }
    }
    Some(found)
}
