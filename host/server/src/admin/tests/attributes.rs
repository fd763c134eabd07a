use super::*;

#[tokio::test]
async fn keys_are_listed_in_json() {
    let admin = TestAdmin::new(None);
    let answer = admin
        .get("/attributes?service=cart&prefix=http.&tenant=a")
        .await;
    assert_eq!(
        (answer.status, answer.kind.as_str()),
        (200, "application/json")
    );
    let keys: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let one = &keys["attributes"][0];
    let asked = r#"KeysQuery { service: "cart", prefix: "http." }"#;
    assert_eq!(one["key"], asked);
    assert_eq!(
        (&one["level"], &one["type"]),
        (&"span".into(), &"text".into())
    );
    assert_eq!(
        (&one["values"], &one["has_more"]),
        (&3.into(), &true.into())
    );
    assert_eq!(keys.get("error"), None);
    assert_eq!(admin.get("/attributes").await.status, 200);
}

#[tokio::test]
async fn values_are_listed_in_json_by_a_key_of_any_characters() {
    let admin = TestAdmin::new(None);
    let path = "/attributes/a%2Fb%20%C3%A9/values?level=span&prefix=G&limit=5";
    let answer = admin.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let values: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let asked = r#"ValuesQuery { key: "a/b é", level: "span", prefix: "G", limit: Some(5) }"#;
    assert_eq!(values["key"], asked);
    assert_eq!(values["values"][0]["value"], "GET");
    assert_eq!(values["values"][0]["fragments"], 7);
}

#[tokio::test]
async fn other_parameters_methods_and_tenants_are_refused() {
    let admin = TestAdmin::new(None);
    for (path, status) in [
        ("/attributes?limit=5", 400),
        ("/attributes?prefix=a&prefix=b", 400),
        ("/attributes/k/values?service=cart", 400),
        ("/attributes/k/values?limit=many", 400),
        ("/attributes?tenant=b", 403),
        ("/attributes/k/values?tenant=b", 403),
        ("/attributes/k", 404),
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    assert_eq!(admin.send(Method::POST, "/attributes").await.status, 405);
    let unknown = TestAdmin::new(Some(ErrorKind::Unavailable));
    let answer = unknown.get("/attributes").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "the values say no\n")
    );
}
