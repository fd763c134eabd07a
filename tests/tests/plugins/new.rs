//! `larder plugin new`: what it makes is the tested example under another name.

use std::fs;
use std::path::Path;

use larder_tests::{Exit, Home, Options};

fn new(home: &Home, arguments: &[&str]) -> Exit {
    let options = Options::bare().without_port_flags();
    options
        .arguments(["plugin", "new"].iter().chain(arguments).copied())
        .run_in(home)
}

fn example(file: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples");
    fs::read_to_string(examples.join(file)).unwrap()
}

#[test]
fn a_new_plugin_is_the_example_under_its_name() {
    let languages: [(&str, &[&str]); 5] = [
        ("c", &["plugin.c", "build.sh"]),
        (
            "go",
            &[
                "plugin.go",
                "adapter.wat",
                "go.mod",
                "build.sh",
                "pkg/go.mod",
            ],
        ),
        (
            "js",
            &["plugin.js", "package.json", "package-lock.json", "build.sh"],
        ),
        ("python", &["plugin.py", "requirements.txt", "build.sh"]),
        (
            "rust",
            &["src/lib.rs", "Cargo.toml", "Cargo.lock", "build.sh"],
        ),
    ];
    let home = Home::new();
    for (language, files) in languages {
        let name = format!("minimal-{language}");
        let mine = format!("mine-{language}");
        let exit = new(&home, &[&mine, "--language", language]);
        assert!(exit.stdout.contains("./build.sh"), "{exit:?}");
        let folder = home.path().join(&mine);
        for file in files {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            let expected = example(&format!("{language}/{file}")).replace(&name, &mine);
            let expected = expected.replace("../../../wit/storage.wit", "storage.wit");
            assert_eq!(text, expected, "{file}");
        }
        let jaeger = fs::read_to_string(folder.join("jaeger.yaml")).unwrap();
        assert_eq!(jaeger, example("jaeger.yaml"));
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        for line in [
            "./build.sh  ",
            &format!("larder plugin test {mine}.wasm  "),
            &format!("larder --plugin ./{mine}.wasm  "),
            "jaeger --config jaeger.yaml",
        ] {
            assert!(readme.contains(line), "{readme}");
        }
        assert!(!readme.contains("minimal"), "{readme}");
        let printed = Options::bare()
            .without_port_flags()
            .arguments(["plugin", "wit"])
            .run();
        let contract = fs::read_to_string(folder.join("storage.wit")).unwrap();
        assert_eq!(contract.trim_end(), printed.stdout.trim_end());
    }
}

/// It is the one that the README shows, with the same span to send.
#[test]
fn a_new_plugin_is_put_behind_jaeger_as_the_readme_says() {
    let readme = example("../../README.md");
    let (_, shown) = readme.split_once("```yaml\n").unwrap();
    assert!(shown.starts_with(&example("jaeger.yaml")));
    let (_, sent) = readme.split_once("```sh\njaeger").unwrap();
    let (sent, _) = sent.split_once("```").unwrap();
    let home = Home::new();
    new(&home, &["mine", "--language", "js"]);
    let new = fs::read_to_string(home.path().join("mine/README.md")).unwrap();
    assert!(new.contains(sent), "{sent}");
}

/// What npm installs is pinned whole, from whatever registry it is set to.
#[test]
fn the_lock_of_npm_names_hashes_and_no_registry() {
    let lock: serde_json::Value = serde_json::from_str(&example("js/package-lock.json")).unwrap();
    let package: serde_json::Value = serde_json::from_str(&example("js/package.json")).unwrap();
    let packages = lock["packages"].as_object().unwrap();
    assert_eq!(packages[""]["dependencies"], package["dependencies"]);
    for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        assert!(package["integrity"].is_string(), "{name}");
        assert!(package["resolved"].is_null(), "{name}");
    }
}

#[test]
fn nothing_that_is_there_is_touched() {
    let home = Home::new();
    fs::create_dir(home.path().join("mine")).unwrap();
    let exit = new(&home, &["mine", "--language", "js"]);
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.error().contains("cannot make the folder"), "{exit:?}");
    assert_eq!(fs::read_dir(home.path().join("mine")).unwrap().count(), 0);
}

#[test]
fn a_name_that_is_no_folder_is_refused() {
    for name in ["../mine", "Mine", "", "-x", "a b"] {
        let exit = new(&Home::new(), &["--language", "js", "--", name]);
        assert_eq!(exit.status.code(), Some(2), "{name:?}: {exit:?}");
    }
}

#[test]
fn a_tool_that_is_missing_is_named() {
    let tools = [
        ("c", "wit-bindgen"),
        ("go", "go"),
        ("js", "node"),
        ("python", "python3"),
        ("rust", "cargo"),
    ];
    let home = Home::new();
    for (language, tool) in tools {
        let mine = format!("mine-{language}");
        let options = Options::bare().without_port_flags();
        let exit = options
            .arguments(["plugin", "new", &mine, "--language", language])
            .environment("PATH", "/nowhere")
            .run_in(&home);
        assert_eq!(exit.status.code(), Some(1));
        let expected = format!("`{tool}` is not on the path");
        assert!(exit.error().contains(&expected), "{exit:?}");
        assert!(home.path().join(mine).join("build.sh").is_file());
        // Of the versions that its `build.sh` wants.
        let build = example(&format!("{language}/build.sh"));
        for line in build.lines().filter(|it| it.starts_with("tool ")) {
            let words: Vec<&str> = line.split(' ').collect();
            let expected = format!(
                "`{}` is not on the path. Its version {}",
                words[1], words[3]
            );
            assert!(exit.error().contains(&expected), "{exit:?}");
        }
    }
}
