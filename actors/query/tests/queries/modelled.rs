//! A node whose questions models plan and answer, and the models' server.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use perennial_query::admission::Admitted;
use perennial_query::config::{Config, Questions};
use perennial_query::json::Json;
use perennial_query::plan::{Plan, ValueType};
use perennial_query::record::{ByModel, MODEL_CALLS, ModelCall, Origin, Submission};
use perennial_query::tool::{Call, Identity, Parameter, Tool, ToolAnswer, ToolError, ToolSpec};
use perennial_query::tools::llm::{self, Llm, Model};
use perennial_runtime::{SystemClock, owner_prefix};
use perennial_store::MemoryBackend;
use serde_json::{Value, json};

use crate::asked::Find;
use crate::model::{Act, ModelServer, Seen};
use crate::world::{Ended, Node, Outside};

/// Changes the world by saying something.
struct Write {
    spec: ToolSpec,
    outside: Arc<Outside>,
}

impl Tool for Write {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(async {
            self.outside.say(call.arguments.0["text"].as_str().unwrap_or_default());
            Ok(json!("written").into())
        })
    }
}

/// A node, and what its models do.
pub(crate) struct Modelled {
    pub(crate) node: Node,
    pub(crate) server: ModelServer,
    config: Config,
}

/// What a node is told that asks the models at `url`; one request may take as long as the tests wait.
fn config(url: &str, questions: Questions) -> Config {
    let model = Model {
        name: "small".to_owned(),
        model: "m-1".to_owned(),
        base_url: url.to_owned(),
        requests_per_second: 1_000.0,
        ..Model::default()
    };
    let llm = llm::Config { models: vec![model], ..llm::Config::default() };
    Config { llm, questions, ..Config::default() }
}

/// What models are told, unless a test says otherwise.
pub(crate) fn questions() -> Questions {
    Questions { timeout: Duration::from_secs(20), ..Questions::default() }
}

async fn start(store: MemoryBackend, outside: Arc<Outside>, config: Config) -> Node {
    let text = Parameter::required("text", ValueType::String, "What.");
    let spec =
        ToolSpec { changes_world: true, ..ToolSpec::new("write", "Writes.").parameter(text) };
    let write = Write { spec, outside: Arc::clone(&outside) };
    let llm = Llm::new(&config.llm, Arc::new(SystemClock), |_| None).unwrap();
    Node::on_with((store, outside), config, |tools| {
        tools.with(llm).with(write).with(Find(ToolSpec::new("find", "Finds.")))
    })
    .await
}

impl Modelled {
    /// A node whose model does `acts`, one for each request.
    pub(crate) async fn start(acts: impl IntoIterator<Item = Act>, questions: Questions) -> Self {
        Self::with(acts, questions, |_| ()).await
    }

    pub(crate) async fn with(
        acts: impl IntoIterator<Item = Act>,
        questions: Questions,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let server = ModelServer::start(acts).await;
        let mut config = config(&server.url, questions);
        change(&mut config);
        let node = start(MemoryBackend::new(), Outside::new(), config.clone()).await;
        Self { node, server, config }
    }

    /// A node at whose model's address there is nothing.
    pub(crate) async fn dead() -> Self {
        let url = ModelServer::dead().await;
        // Nobody needs to wait before it is tried again.
        let questions = Questions { timeout: Duration::from_millis(500), ..questions() };
        Self::with([], questions, |config| config.llm.models[0].base_url = url).await
    }

    /// Another process takes the store over, as after the death of this one.
    pub(crate) async fn again(self) -> Self {
        let Self { node, server, config } = self;
        let (store, outside) = (node.store.clone(), Arc::clone(&node.outside));
        let node = start(store, outside, config.clone()).await;
        Self { node, server, config }
    }

    /// The id of what follows from `submission`.
    pub(crate) async fn submit(&self, submission: Submission) -> String {
        let admitted = self.node.admit(submission).await;
        let Admitted::Accepted { id, .. } = admitted else { panic!("{admitted:?}") };
        id
    }

    pub(crate) async fn ask(&self, submission: Submission) -> Ended {
        let id = self.submit(submission).await;
        self.node.ended(&id).await
    }

    /// What models were asked for a query.
    pub(crate) fn calls(&self, id: &str) -> Vec<ModelCall> {
        self.node.runtime.tables().scan(&MODEL_CALLS, &owner_prefix(id), 100).unwrap()
    }

    /// The names of what happened.
    pub(crate) fn events(&self, id: &str) -> Vec<&'static str> {
        self.node.events(id).iter().map(|row| row.event.as_str()).collect()
    }

    pub(crate) async fn until_asked(&self, times: usize) -> Vec<Seen> {
        let what = format!("the model is asked {times} times");
        self.node.until(&what, |_| Some(self.server.asked()).filter(|all| all.len() >= times)).await
    }
}

/// A question that nothing but a model makes a plan of.
pub(crate) fn question() -> Submission {
    Submission {
        plan: Plan { name: "question".to_owned(), ..Plan::default() },
        inputs: Json(json!({})),
        origin: Origin::Question("What is to be said?".to_owned()),
        identity: Identity { role: "staff".to_owned(), ..Identity::default() },
        clarification: Some("No answer to this is known here.".to_owned()),
        by_model: ByModel { plan: true, ..ByModel::default() },
        ..Submission::default()
    }
}

/// A question that `plan` answers, to be worded by a model.
pub(crate) fn planned(plan: Plan) -> Submission {
    Submission {
        plan,
        clarification: None,
        by_model: ByModel { answer: true, ..ByModel::default() },
        ..question()
    }
}

/// A plan as a model writes it.
pub(crate) fn written(steps: &Value) -> Act {
    Act::say(json!({"name": "by_model", "steps": steps}))
}
