//! The request that somebody asks about: `url`, and where the way through the tree depends on more than that,
//! `method` and any number of `header`s (`Name: value`).

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::Method;
use waypost_backend::Sketch;
use waypost_http1::Fields;
use waypost_table::explain::Url;

use crate::problem::Problem;

/// The query of a question about a request.
pub(crate) type Questions = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// A request that nobody has sent.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) url: String,
    method: Method,
    fields: Fields,
}

impl Asked {
    pub(crate) fn read(questions: Questions) -> Result<Asked, Problem> {
        let Query(pairs) = questions.map_err(|error| Problem::bad_request(error.body_text()))?;
        let (mut url, mut method, mut fields) = (None, Method::GET, Fields::new());
        for (key, value) in pairs {
            match key.as_str() {
                "url" => url = Some(value),
                "method" => {
                    method = Method::from_bytes(value.as_bytes())
                        .map_err(|_| Problem::bad_request(format!("{value:?} is no method")))?;
                }
                "header" => {
                    let (name, text) = value.split_once(':').unwrap_or((&value, ""));
                    fields.push(name.trim(), text.trim().as_bytes()).map_err(|_| {
                        Problem::bad_request(format!("{value:?} is no field: write NAME: VALUE"))
                    })?;
                }
                other => {
                    let message = format!("unknown parameter {other:?}: there are url, method and header");
                    return Err(Problem::bad_request(message));
                }
            }
        }
        let url = url.ok_or_else(|| Problem::bad_request("the parameter url is missing"))?;
        Ok(Asked { url, method, fields })
    }

    /// The request as the backends look at it.
    pub(crate) fn sketch<'a>(&'a self, url: &'a Url) -> Sketch<'a> {
        Sketch {
            method: &self.method,
            scheme: url.scheme,
            host: &url.host,
            port: url.port,
            target: url.target.as_bytes(),
            fields: &self.fields,
        }
    }
}
