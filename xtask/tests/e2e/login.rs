//! Who is let in.

use crate::support::{Listener, Service, music};

#[test]
fn a_login_needs_the_secret_and_what_follows_does_not() {
    let service = Service::start_with(&["--join-secret", "open sesame"]);
    let anna = service.stranger("anna");
    let login = |more: &[&str]| {
        let login = ["--peers", "off", "login", service.link()];
        anna.run(&[&login, more].concat())
    };
    let none = login(&[]);
    assert!(!none.status.success());
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(said.contains("--secret"), "it does not say what to do: {said}");
    let wrong = login(&["--secret", "open barley"]);
    assert!(!wrong.status.success());
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("secret is wrong"), "{said}");
    assert!(!finds_music(&anna), "a login that failed leaves nothing behind");

    let right = login(&["--secret", "open sesame"]);
    assert!(right.status.success(), "{right:?}");
    assert!(finds_music(&anna), "the device is known now");
    assert!(login(&[]).status.success(), "and need not say the secret again");
    assert!(!finds_music(&service.stranger("bela")), "nobody else is");
}

#[test]
fn an_open_server_lets_everyone_in() {
    let service = Service::start_with(&["--open"]);
    assert!(finds_music(&service.listener("anna")));
}

#[test]
fn a_server_with_another_key_is_not_talked_to() {
    let service = Service::start();
    let (address, other) = (service.address(), "5a".repeat(32));
    let link = format!("antiphon://{address}/{other}");
    let output = service.stranger("anna").run(&["--peers", "off", "login", &link]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("antiphon: "), "{said}");
}

fn finds_music(listener: &Listener) -> bool {
    let output = listener.run(&["--json", "search", "xylophone"]);
    let found = String::from_utf8(output.stdout).unwrap().lines().count();
    assert_eq!(output.status.success(), found > 0);
    output.status.success() && found == music().short.len() + 2
}
