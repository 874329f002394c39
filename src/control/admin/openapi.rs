//! The OpenAPI document (3.1), made from the table of operations and the schemas of its types.
//!
//! OpenAPI 3.1 takes JSON Schema as it is, and the config's types have schemas already, so
//! nothing more is needed than to put them where the document wants them.

use super::call::{Call, Reply};
use super::operations::{OPERATIONS, Operation};
use super::problem::Problem;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

pub(super) async fn show(_: Call) -> Result<Reply, Problem> {
    Reply::json(document()).await
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Problem>();
    let mut paths = Map::new();
    for operation in OPERATIONS.iter() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        let described = describe(operation, &problem, &mut schemas);
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.as_str().to_ascii_lowercase(), described);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Vanne's admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What operators ask of a running Vanne. By the unix socket nobody is \
                asked for a token. Changes need `content-type: application/json`, but for a DELETE \
                without a body.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "admin.address, or admin.socket" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn describe(operation: &Operation, problem: &Schema, schemas: &mut SchemaGenerator) -> Value {
    let answer = (operation.answer)(schemas);
    let content = |kind: &str, schema: &Schema| json!({ kind: { "schema": schema } });
    let mut out = json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "description": format!("Needs the role `{}`.", operation.needs),
        "parameters": parameters(operation, schemas),
        "responses": {
            "200": { "description": "Done.", "content": content("application/json", &answer) },
            "default": {
                "description": "Not done, and why.",
                "content": content("application/problem+json", problem),
            },
        },
    });
    if let (Some(body), Some(out)) = (operation.body, out.as_object_mut()) {
        let content = content("application/json", &body(schemas));
        out.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
    }
    out
}

/// Parts of the path, and of the query.
fn parameters(operation: &Operation, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let parts = operation.path.split('/');
    let names = parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let of_path = names.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let mut all: Vec<Value> = of_path.collect();
    let Some(query) = operation.query else { return all };
    let schema = query(schemas);
    // The schema of the query is one of the definitions: its properties are the parameters.
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let definition = name.and_then(|name| schemas.definitions_mut().remove(name));
    let properties = definition.as_ref().and_then(|schema| schema.get("properties")?.as_object());
    for (name, property) in properties.into_iter().flatten() {
        let mut schema = property.clone();
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        all.push(json!({
            "name": name, "in": "query", "required": false, "schema": schema,
            "description": description.unwrap_or_default(),
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_operation_is_described_and_every_reference_leads_somewhere() {
        let document = document();
        for operation in OPERATIONS.iter() {
            let method = operation.method.as_str().to_ascii_lowercase();
            let described = &document["paths"][operation.path][&method];
            assert_eq!(described["operationId"], operation.name);
            let schema = &described["responses"]["200"]["content"]["application/json"]["schema"];
            assert!(!schema.is_null(), "{}", operation.name);
            assert_eq!(described["requestBody"].is_null(), operation.body.is_none());
            let query = described["parameters"].as_array().unwrap();
            let has_query = query.iter().any(|parameter| parameter["in"] == "query");
            assert_eq!(has_query, operation.query.is_some(), "{}", operation.name);
            let in_path = query.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, operation.path.matches('{').count());
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            let target = document.pointer(reference.trim_start_matches('#'));
            assert!(target.is_some(), "{reference}");
        }
    }
}
