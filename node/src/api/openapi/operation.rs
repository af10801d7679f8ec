//! The description of one route.

use std::{borrow::Cow, collections::BTreeMap};

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::super::query::{Kind, Parameter, Parameters};

/// Who may read what a route answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Whoever reaches the port.
    Everybody,
    /// Whoever has signed in, and of what there is only what the words say.
    Reader(&'static str),
}

/// A part of a path.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// An account's address.
    Account,
    /// A session or a transaction by its id or by the first digits of it.
    Beginning,
    /// A connector, a tariff or a group.
    Local,
    /// A block by height or hash.
    Block,
    /// A clearing by number, or `next`.
    Clearing,
    /// A reading's number.
    Sequence,
}

impl Part {
    const fn kind(self) -> Kind {
        match self {
            Self::Account => Kind::Text(chain::openapi::ADDRESS),
            Self::Beginning => Kind::Text("^[0-9a-f]{6,64}$"),
            Self::Local => Kind::Text("^(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})$"),
            Self::Block => Kind::Text("^([1-9][0-9]{0,18}|[0-9a-f]{64})$"),
            Self::Clearing => Kind::Text("^(next|[1-9][0-9]{0,8})$"),
            Self::Sequence => Kind::Number(0, u64::MAX),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Account => "An account's address.",
            Self::Beginning => "The id: its 64 hexadecimal digits, or so many of the first, at least 6, that no other begins with them.",
            Self::Local => "Condominium and number.",
            Self::Block => "A height, or the hash of a header.",
            Self::Clearing => "A number from 1, or `next` for the period that runs.",
            Self::Sequence => "The reading's number in its session.",
        }
    }
}

/// The schemas that a description names.
pub(super) type Schemas = BTreeMap<String, Value>;

/// A body, of a request or of an answer.
#[derive(Clone, Debug)]
struct Content {
    kind: &'static str,
    schema: Value,
    words: &'static str,
}

/// The description of one route; made by [`about`].
#[derive(Clone, Debug)]
pub struct Operation {
    method: Method,
    path: Cow<'static, str>,
    topic: &'static str,
    summary: &'static str,
    words: &'static str,
    access: Access,
    parts: Vec<(&'static str, Part)>,
    query: &'static [Parameter],
    headers: &'static [Parameter],
    body: Option<Content>,
    answers: Vec<(StatusCode, Content)>,
    refusals: Vec<(StatusCode, &'static str)>,
    schemas: Schemas,
}

/// The description of a route for everybody: what it is about, and in one sentence what it answers.
pub fn about(topic: &'static str, summary: &'static str) -> Operation {
    Operation {
        method: Method::GET,
        path: Cow::Borrowed(""),
        topic,
        summary,
        words: "",
        access: Access::Everybody,
        parts: Vec::new(),
        query: &[],
        headers: &[],
        body: None,
        answers: Vec::new(),
        refusals: Vec::new(),
        schemas: Schemas::new(),
    }
}

const JSON: &str = "application/json";

impl Operation {
    /// More than one sentence about it, in Markdown.
    pub fn says(mut self, words: &'static str) -> Self {
        self.words = words;
        self
    }

    /// For readers who have signed in alone.
    pub fn for_readers(mut self, of_what: &'static str) -> Self {
        self.access = Access::Reader(of_what);
        self.refuses(StatusCode::FORBIDDEN, "This reader may not see it.")
            .refuses(StatusCode::UNAUTHORIZED, "Nobody has signed in, or the token has run out: sign in with `/challenges` and `/tokens`.")
    }

    /// A part of the path.
    pub fn named(mut self, name: &'static str, part: Part) -> Self {
        self.parts.push((name, part));
        if matches!(part, Part::Beginning) {
            return self.refuses(StatusCode::CONFLICT, "The digits fit several.");
        }
        self
    }

    /// What it takes after the question mark.
    pub fn takes<Q: Parameters>(mut self) -> Self {
        self.query = Q::TAKEN;
        self
    }

    /// Header fields that it looks at.
    pub fn heeds(mut self, headers: &'static [Parameter]) -> Self {
        self.headers = headers;
        self
    }

    /// A JSON body.
    pub fn reads_json<T: ToSchema>(mut self, words: &'static str) -> Self {
        let schema = self.schema::<T>();
        self.body = Some(Content { kind: JSON, schema, words });
        self.refuses_bodies()
    }

    /// A body of bytes.
    pub fn reads_bytes(mut self, words: &'static str) -> Self {
        let schema = json!({ "type": "string", "format": "binary" });
        self.body = Some(Content { kind: "application/octet-stream", schema, words });
        self.refuses_bodies()
    }

    fn refuses_bodies(self) -> Self {
        self.refuses(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.")
            .refuses(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is of another type.")
            .refuses(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time.")
    }

    /// A JSON document as the answer.
    pub fn answers<T: ToSchema>(self, words: &'static str) -> Self {
        self.answers_with::<T>(StatusCode::OK, words)
    }

    /// A JSON document under a status.
    pub fn answers_with<T: ToSchema>(mut self, status: StatusCode, words: &'static str) -> Self {
        let schema = self.schema::<T>();
        self.answers.push((status, Content { kind: JSON, schema, words }));
        self
    }

    /// A page of a list.
    pub fn answers_page<T: ToSchema>(mut self, words: &'static str) -> Self {
        let item = self.schema::<T>();
        let name = format!("PageOf{}", T::name());
        let properties = json!({
            "items": { "type": "array", "items": item, "maxItems": chain::api::MAX_PAGE },
            "next": { "type": ["string", "null"], "description": "What to ask with for the next page; null on the last." },
        });
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        self.schemas.insert(name, json!({ "type": "object", "required": ["items", "next"], "properties": properties }));
        self.answers.push((StatusCode::OK, Content { kind: JSON, schema: reference, words }));
        self
    }

    /// JSON of any form.
    pub fn answers_document(mut self, words: &'static str) -> Self {
        self.answers.push((StatusCode::OK, Content { kind: JSON, schema: json!({ "type": "object" }), words }));
        self
    }

    /// Bytes or text of another type as the answer.
    pub fn answers_raw(mut self, kind: &'static str, words: &'static str) -> Self {
        self.answers.push((StatusCode::OK, Content { kind, schema: json!({ "type": "string" }), words }));
        self
    }

    /// A schema that the words speak of and no answer names.
    pub fn mentions<T: ToSchema>(mut self) -> Self {
        self.schema::<T>();
        self
    }

    /// A refusal besides those that every route may give.
    pub fn refuses(mut self, status: StatusCode, words: &'static str) -> Self {
        self.refusals.push((status, words));
        self
    }

    pub(super) fn at(mut self, method: Method, path: &'static str) -> Self {
        (self.method, self.path) = (method, Cow::Borrowed(path));
        self
    }

    pub(super) fn below(mut self, prefix: &str) -> Self {
        self.path = Cow::Owned(format!("{prefix}{}", self.path));
        self
    }

    /// The method.
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The path, with its parts in braces.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Who may read the answer.
    pub const fn access(&self) -> Access {
        self.access
    }

    /// The media types of its answers; refusals apart.
    pub fn produces(&self) -> impl Iterator<Item = &'static str> {
        self.answers.iter().map(|(_, content)| content.kind)
    }

    pub(super) const fn topic(&self) -> &'static str {
        self.topic
    }

    pub(super) const fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    fn schema<T: ToSchema>(&mut self) -> Value {
        let mut found = Vec::new();
        T::schemas(&mut found);
        let name = T::name().into_owned();
        found.push((name.clone(), T::schema()));
        // Schemas are plain data and always serialise.
        self.schemas.extend(found.into_iter().filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?))));
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// As the document says it.
    pub(super) fn value(&self, common: &[(StatusCode, &'static str)]) -> Value {
        let parts = self.parts.iter().map(|(name, part)| parameter("path", name, part.kind(), part.words(), true));
        let listed = |place, list: &'static [Parameter]| {
            list.iter().map(move |taken| parameter(place, taken.name, taken.kind, taken.about, taken.required))
        };
        let parameters: Vec<Value> = parts.chain(listed("query", self.query)).chain(listed("header", self.headers)).collect();
        let mut responses = Map::new();
        for (status, content) in &self.answers {
            responses.insert(status.as_str().to_owned(), response(content));
        }
        for (status, words) in common.iter().chain(&self.refusals) {
            let content = Content { kind: PROBLEM, schema: json!({ "$ref": "#/components/schemas/Problem" }), words };
            responses.entry(status.as_str()).or_insert_with(|| response(&content));
        }
        let mut words = self.words.to_owned();
        if let Access::Reader(of_what) = self.access {
            words = format!("{words}\n\nFor readers who have signed in: {of_what}").trim_start().to_owned();
        }
        let mut value = json!({
            "operationId": self.id(),
            "tags": [self.topic],
            "summary": self.summary,
            "parameters": parameters,
            "responses": responses,
        });
        if !words.is_empty() {
            value["description"] = Value::String(words);
        }
        if let Some(body) = &self.body {
            value["requestBody"] =
                json!({ "required": true, "description": body.words, "content": { body.kind: { "schema": body.schema } } });
        }
        value
    }

    /// A name for programs that are made from the document: method and path.
    fn id(&self) -> String {
        let words = self.path.split(['/', '.', '{', '}']).filter(|word| !word.is_empty() && *word != "api" && *word != "v1");
        let place = if self.path.starts_with("/api/") { "" } else { "_root" };
        words.fold(format!("{}{place}", self.method.as_str().to_ascii_lowercase()), |id, word| format!("{id}_{word}"))
    }
}

/// The type of every refusal.
const PROBLEM: &str = "application/problem+json";

fn response(content: &Content) -> Value {
    json!({ "description": content.words, "content": { content.kind: { "schema": content.schema } } })
}

fn parameter(place: &str, name: &str, kind: Kind, words: &str, required: bool) -> Value {
    json!({ "name": name, "in": place, "required": required, "description": words, "schema": kind.schema() })
}

impl Kind {
    fn schema(self) -> Value {
        match self {
            Self::Text(pattern) => json!({ "type": "string", "pattern": pattern }),
            Self::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Self::OneOf(words) => json!({ "type": "string", "enum": words }),
        }
    }
}
