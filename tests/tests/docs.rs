//! `forge docs`: the pages beside the modules say what the modules say.

use forge_tests::{Site, repository};

#[test]
fn the_page_beside_each_module_is_current() {
    let site = Site::empty();
    let listed = site.forge(&["docs", "--json"]).with_code(0).json();
    assert!(listed.len() >= 5, "{listed:?}");
    for module in &listed {
        let name = module["module"]["name"].as_str().unwrap();
        assert_ne!(module["module"]["description"], "", "{name}");
        let page = site.forge(&["docs", name]).with_code(0).stdout;
        let kept = std::fs::read_to_string(repository().join("modules").join(name).join("README.md"));
        assert_eq!(kept.unwrap_or_default(), page, "{name}: run cargo run -p forge-cli -- docs --write modules");
    }
}

#[test]
fn a_module_of_ones_own_has_a_page() {
    let module = "module: mine\ndescription: A thing\ninputs:\n  size: { type: int, min: 1, max: 9, description: How large }\n  a: { enum: [x, y], default: x }\ntargets:\n  local:\n    resources: { dir: { kind: local.directory, when: \"${inputs.size > 1}\", with: {} } }\n    outputs: { path: \"${dir.path}\" }\n    checks: [{ that: \"${true}\", say: \"size is ${inputs.size}\", severity: warning }]\n";
    let site = Site::with(&[("mine/module.yaml", module), ("broken/module.yaml", "a: [\n")]);
    insta::assert_snapshot!(site.forge(&["docs", "./mine"]).with_code(0).stdout);
    let broken = site.forge(&["docs", "./broken"]).with_code(1).stderr;
    assert!(broken.contains("./broken/module.yaml:1:4"), "{broken}");
    let absent = site.forge(&["docs", "vcp"]).with_code(2).stderr;
    assert!(absent.contains("there is no module `vcp`"), "{absent}");
}

#[test]
fn every_shell_is_completed() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = Site::empty().forge(&["completions", shell]).with_code(0).stdout;
        assert!(script.contains("validate") && script.contains("var-file"), "{shell}");
    }
}
