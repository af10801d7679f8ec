//! A strict reader of the schemas that our document uses: a keyword that it does not know fails the test, and so does a member that no schema names.

use serde_json::Value;

/// Compares a value with a schema of the document and says where they differ.
pub fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema.get("$ref") {
        let target = reference.as_str().unwrap().trim_start_matches('#');
        return check(document, document.pointer(target).unwrap_or_else(|| panic!("{target} is nowhere")), value, at);
    }
    let wrong = |what: &str| Err(format!("{at}: {what}, found {value}"));
    for (keyword, wanted) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "description" | "title" | "format" | "pattern" | "default" | "examples" => {}
            "type" => {
                let kinds = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                if !kinds.iter().any(|kind| is(kind.as_str().unwrap(), value)) {
                    return wrong(&format!("expected {wanted}"));
                }
            }
            "enum" => {
                if !wanted.as_array().unwrap().contains(value) {
                    return wrong(&format!("expected one of {wanted}"));
                }
            }
            "minimum" => {
                if value.as_f64().is_some_and(|number| number < wanted.as_f64().unwrap()) {
                    return wrong("too small");
                }
            }
            "maximum" => {
                if value.as_f64().is_some_and(|number| number > wanted.as_f64().unwrap()) {
                    return wrong("too large");
                }
            }
            "minItems" | "maxItems" => {
                let (found, bound) = (value.as_array().map_or(0, Vec::len), usize::try_from(wanted.as_u64().unwrap()).unwrap());
                let fits = if keyword == "minItems" { found >= bound } else { found <= bound };
                if value.is_array() && !fits {
                    return wrong(keyword);
                }
            }
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, wanted, item, &format!("{at}[{place}]"))?;
                }
            }
            "properties" | "required" | "additionalProperties" => {}
            "oneOf" => {
                let fits: Vec<_> = wanted.as_array().unwrap().iter().map(|one| check(document, one, value, at)).collect();
                if fits.iter().filter(|fit| fit.is_ok()).count() != 1 {
                    return wrong(&format!("expected exactly one of several: {fits:?}"));
                }
            }
            unknown => panic!("{at}: the test does not know the keyword {unknown}: teach it"),
        }
    }
    let Some(members) = value.as_object() else { return Ok(()) };
    if schema.get("oneOf").is_some() {
        return Ok(());
    }
    let none = serde_json::Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            return wrong(&format!("{name} is missing"));
        }
    }
    for (name, member) in members {
        match properties.get(name) {
            Some(known) => check(document, known, member, &format!("{at}.{name}"))?,
            // An object of any form has no properties at all.
            None if properties.is_empty() => {}
            None => return wrong(&format!("the schema has no {name}")),
        }
    }
    Ok(())
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}
