//! Swagger UI at `/docs`: the document for people. Its files lie in the repository and are built in; a page of it asks this node and nobody else.
//!
//! Nothing is compressed or cached: it is looked at now and then. Called by the router.

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};

use super::super::ApiState;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Scripts, styles and questions of this origin alone; the small pictures of the style sheet are part of it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// The pages, which stand in no document.
pub fn pages() -> Router<ApiState> {
    let folder = |name: &str| format!("/docs/{name}");
    Router::new()
        .route("/docs", file(HTML, include_bytes!("index.html")))
        .route(&folder(""), file(HTML, include_bytes!("index.html")))
        .route(&folder("start.js"), file(SCRIPT, include_bytes!("start.js")))
        .route(&folder("swagger-ui-bundle.js"), file(SCRIPT, include_bytes!("../../../web/swagger-ui/swagger-ui-bundle.js")))
        .route(&folder("swagger-ui.css"), file("text/css; charset=utf-8", include_bytes!("../../../web/swagger-ui/swagger-ui.css")))
        .route(&folder("LICENSE"), file(TEXT, include_bytes!("../../../web/swagger-ui/LICENSE")))
        .route(&folder("NOTICE"), file(TEXT, include_bytes!("../../../web/swagger-ui/NOTICE")))
        .route(
            &folder("swagger-ui-bundle.js.LICENSE.txt"),
            file(TEXT, include_bytes!("../../../web/swagger-ui/swagger-ui-bundle.js.LICENSE.txt")),
        )
}

fn file(kind: &'static str, bytes: &'static [u8]) -> MethodRouter<ApiState> {
    get(move || async move { answer(kind, bytes) })
}

fn answer(kind: &'static str, bytes: &'static [u8]) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use serde::Deserialize;
    use sha2::{Digest, Sha256};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Manifest {
        package: String,
        version: String,
        licence: String,
        source: String,
        integrity: String,
        files: BTreeMap<String, String>,
    }

    #[test]
    fn vendored_files_are_those_of_their_manifest_and_no_others() {
        let folder = Path::new("web/swagger-ui");
        let manifest: Manifest = toml::from_str(&fs::read_to_string(folder.join("manifest.toml")).unwrap()).unwrap();
        assert_eq!((manifest.package.as_str(), manifest.licence.as_str()), ("swagger-ui-dist", "Apache-2.0"));
        assert!(manifest.source.contains(&manifest.version) && manifest.integrity.starts_with("sha512-"));
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name != "manifest.toml" {
                found.insert(name, hex::encode(Sha256::digest(fs::read(entry.path()).unwrap())));
            }
        }
        assert_eq!(
            found, manifest.files,
            "a vendored file was changed: take the package's own again, or write a new manifest for a new version"
        );
    }
}
