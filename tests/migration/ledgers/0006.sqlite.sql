BEGIN TRANSACTION;
CREATE TABLE agent_outputs (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	agent_name TEXT NOT NULL, 
	model_version TEXT, 
	content TEXT NOT NULL, 
	output_timestamp BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES consensus_runs (id) ON DELETE CASCADE
);
INSERT INTO "agent_outputs" VALUES(1,1,'agent_name 1 é🦀 ''quoted'' \ 100 %
next line','model_version 1 é🦀 ''quoted'' \ 100 %
next line','content 1 é🦀 ''quoted'' \ 100 %
next line',9007199254740993);
INSERT INTO "agent_outputs" VALUES(2,2,'agent_name 2 é🦀 ''quoted'' \ 100 %
next line',NULL,'content 2 é🦀 ''quoted'' \ 100 %
next line',9007199254740994);
CREATE TABLE agent_usage (
	job_id TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	plan_id TEXT, 
	task_id TEXT, 
	agent TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	session_id TEXT, 
	input_tokens BIGINT NOT NULL, 
	output_tokens BIGINT NOT NULL, 
	cost_usd DOUBLE NOT NULL, 
	seconds DOUBLE NOT NULL, 
	cached INTEGER NOT NULL, 
	updated_at DOUBLE NOT NULL, 
	PRIMARY KEY (job_id, attempt)
);
INSERT INTO "agent_usage" VALUES('job_id 1 é🦀 ''quoted'' \ 100 %
next line',1,'plan_id 1 é🦀 ''quoted'' \ 100 %
next line','task_id 1 é🦀 ''quoted'' \ 100 %
next line','agent 1 é🦀 ''quoted'' \ 100 %
next line','kind 1 é🦀 ''quoted'' \ 100 %
next line','session_id 1 é🦀 ''quoted'' \ 100 %
next line',9007199254740993,9007199254740993,1700000000.1,1700000000.1,1,1700000000.1);
INSERT INTO "agent_usage" VALUES('job_id 2 é🦀 ''quoted'' \ 100 %
next line',2,NULL,NULL,'agent 2 é🦀 ''quoted'' \ 100 %
next line','kind 2 é🦀 ''quoted'' \ 100 %
next line',NULL,9007199254740994,9007199254740994,1700000000.2,1700000000.2,2,1700000000.2);
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO "alembic_version" VALUES('0006');
CREATE TABLE audit (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at DOUBLE NOT NULL, 
	actor TEXT NOT NULL, 
	role TEXT, 
	source TEXT NOT NULL, 
	origin TEXT NOT NULL, 
	action TEXT NOT NULL, 
	target TEXT, 
	details TEXT
);
INSERT INTO "audit" VALUES(1,1700000000.1,'actor 1 é🦀 ''quoted'' \ 100 %
next line','role 1 é🦀 ''quoted'' \ 100 %
next line','source 1 é🦀 ''quoted'' \ 100 %
next line','origin 1 é🦀 ''quoted'' \ 100 %
next line','action 1 é🦀 ''quoted'' \ 100 %
next line','target 1 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}');
INSERT INTO "audit" VALUES(2,1700000000.2,'actor 2 é🦀 ''quoted'' \ 100 %
next line',NULL,'source 2 é🦀 ''quoted'' \ 100 %
next line','origin 2 é🦀 ''quoted'' \ 100 %
next line','action 2 é🦀 ''quoted'' \ 100 %
next line',NULL,NULL);
CREATE TABLE breaker_calls (
	breaker TEXT NOT NULL, 
	slot BIGINT NOT NULL, 
	calls INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	PRIMARY KEY (breaker, slot), 
	FOREIGN KEY(breaker) REFERENCES breakers (name) ON DELETE CASCADE
);
INSERT INTO "breaker_calls" VALUES('name 1 é🦀 ''quoted'' \ 100 %
next line',1,1,1);
INSERT INTO "breaker_calls" VALUES('name 2 é🦀 ''quoted'' \ 100 %
next line',2,2,2);
CREATE TABLE breaker_trials (
	breaker TEXT NOT NULL, 
	holder TEXT NOT NULL, 
	until DOUBLE NOT NULL, 
	PRIMARY KEY (breaker, holder), 
	FOREIGN KEY(breaker) REFERENCES breakers (name) ON DELETE CASCADE
);
INSERT INTO "breaker_trials" VALUES('name 1 é🦀 ''quoted'' \ 100 %
next line','holder 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1);
INSERT INTO "breaker_trials" VALUES('name 2 é🦀 ''quoted'' \ 100 %
next line','holder 2 é🦀 ''quoted'' \ 100 %
next line',1700000000.2);
CREATE TABLE breakers (
	name TEXT NOT NULL, 
	state TEXT NOT NULL, 
	changed_at DOUBLE NOT NULL, 
	open_until DOUBLE, 
	successes INTEGER NOT NULL, 
	times_opened INTEGER NOT NULL, 
	reason TEXT, 
	PRIMARY KEY (name), 
	CONSTRAINT breaker_state CHECK (state IN ('closed', 'open', 'half_open'))
);
INSERT INTO "breakers" VALUES('name 1 é🦀 ''quoted'' \ 100 %
next line','open',1700000000.1,1700000000.1,1,1,'reason 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO "breakers" VALUES('name 2 é🦀 ''quoted'' \ 100 %
next line','open',1700000000.2,NULL,2,2,NULL);
CREATE TABLE budgets (
	plan_id TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	name TEXT NOT NULL, 
	usd DOUBLE, 
	tokens BIGINT, 
	seconds DOUBLE, 
	PRIMARY KEY (plan_id, scope, name), 
	CONSTRAINT budget_scope CHECK (scope IN ('plan', 'task', 'agent')), 
	FOREIGN KEY(plan_id) REFERENCES plans (id) ON DELETE CASCADE
);
INSERT INTO "budgets" VALUES('id 1 é🦀 ''quoted'' \ 100 %
next line','plan','name 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,9007199254740993,1700000000.1);
INSERT INTO "budgets" VALUES('id 2 é🦀 ''quoted'' \ 100 %
next line','plan','name 2 é🦀 ''quoted'' \ 100 %
next line',NULL,NULL,NULL);
CREATE TABLE cache_counts (
	cache TEXT NOT NULL, 
	name TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	PRIMARY KEY (cache, name)
);
INSERT INTO "cache_counts" VALUES('cache 1 é🦀 ''quoted'' \ 100 %
next line','name 1 é🦀 ''quoted'' \ 100 %
next line',9007199254740993);
INSERT INTO "cache_counts" VALUES('cache 2 é🦀 ''quoted'' \ 100 %
next line','name 2 é🦀 ''quoted'' \ 100 %
next line',9007199254740994);
CREATE TABLE chord_results (
	group_id TEXT NOT NULL, 
	member_id TEXT NOT NULL, 
	result TEXT, 
	PRIMARY KEY (group_id, member_id), 
	FOREIGN KEY(group_id) REFERENCES chords (group_id) ON DELETE CASCADE
);
INSERT INTO "chord_results" VALUES('group_id 1 é🦀 ''quoted'' \ 100 %
next line','member_id 1 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}');
INSERT INTO "chord_results" VALUES('group_id 2 é🦀 ''quoted'' \ 100 %
next line','member_id 2 é🦀 ''quoted'' \ 100 %
next line',NULL);
CREATE TABLE chords (
	group_id TEXT NOT NULL, 
	body_id TEXT NOT NULL, 
	members TEXT NOT NULL, 
	missing INTEGER NOT NULL, 
	takes_results INTEGER NOT NULL, 
	PRIMARY KEY (group_id)
);
INSERT INTO "chords" VALUES('group_id 1 é🦀 ''quoted'' \ 100 %
next line','body_id 1 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',1,1);
INSERT INTO "chords" VALUES('group_id 2 é🦀 ''quoted'' \ 100 %
next line','body_id 2 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',2,2);
CREATE TABLE consensus_runs (
	id INTEGER NOT NULL, 
	spec_id TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	run_timestamp BIGINT NOT NULL, 
	consensus_ok INTEGER NOT NULL, 
	degraded INTEGER DEFAULT 0 NOT NULL, 
	synthesis_json TEXT, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_consensus_run UNIQUE (spec_id, stage, run_timestamp)
);
INSERT INTO "consensus_runs" VALUES(1,'spec_id 1 é🦀 ''quoted'' \ 100 %
next line','stage 1 é🦀 ''quoted'' \ 100 %
next line',9007199254740993,1,1,'synthesis_json 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO "consensus_runs" VALUES(2,'spec_id 2 é🦀 ''quoted'' \ 100 %
next line','stage 2 é🦀 ''quoted'' \ 100 %
next line',9007199254740994,2,2,NULL);
CREATE TABLE event_handlers (
	event_type TEXT NOT NULL, 
	handler TEXT NOT NULL, 
	lane TEXT NOT NULL, 
	time_limit DOUBLE, 
	created_at DOUBLE NOT NULL, 
	PRIMARY KEY (event_type, handler)
);
INSERT INTO "event_handlers" VALUES('event_type 1 é🦀 ''quoted'' \ 100 %
next line','handler 1 é🦀 ''quoted'' \ 100 %
next line','lane 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,1700000000.1);
INSERT INTO "event_handlers" VALUES('event_type 2 é🦀 ''quoted'' \ 100 %
next line','handler 2 é🦀 ''quoted'' \ 100 %
next line','lane 2 é🦀 ''quoted'' \ 100 %
next line',NULL,1700000000.2);
CREATE TABLE event_rules (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	updated_at DOUBLE NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "event_rules" VALUES('name 1 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',1700000000.1);
INSERT INTO "event_rules" VALUES('name 2 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',1700000000.2);
CREATE TABLE events (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	source_app TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	hook_event_type TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	chat TEXT, 
	summary TEXT, 
	model_name TEXT, 
	timestamp BIGINT NOT NULL, 
	priority INTEGER DEFAULT 0 NOT NULL CONSTRAINT event_priority CHECK (priority BETWEEN 0 AND 3), 
	priority_metadata TEXT, 
	extra TEXT, 
	received_at DOUBLE
);
INSERT INTO "events" VALUES(1,'source_app 1 é🦀 ''quoted'' \ 100 %
next line','session_id 1 é🦀 ''quoted'' \ 100 %
next line','hook_event_type 1 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}','summary 1 é🦀 ''quoted'' \ 100 %
next line','model_name 1 é🦀 ''quoted'' \ 100 %
next line',9007199254740993,3,'{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',1700000000.1);
INSERT INTO "events" VALUES(2,'source_app 2 é🦀 ''quoted'' \ 100 %
next line','session_id 2 é🦀 ''quoted'' \ 100 %
next line','hook_event_type 2 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',NULL,NULL,NULL,9007199254740994,3,NULL,NULL,NULL);
CREATE TABLE job_history (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	job_id TEXT NOT NULL, 
	from_status TEXT, 
	status TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	worker_id TEXT, 
	timestamp DOUBLE NOT NULL, 
	details TEXT
);
INSERT INTO "job_history" VALUES(1,'job-1',NULL,'blocked',0,NULL,1.79542389573575067516e+09,NULL);
INSERT INTO "job_history" VALUES(2,'job-2',NULL,'pending',0,NULL,1.79542389573633718495e+09,NULL);
INSERT INTO "job_history" VALUES(3,'job-3',NULL,'pending',0,NULL,1.79542389573658275597e+09,NULL);
INSERT INTO "job_history" VALUES(4,'job-3','pending','processing',1,'w1',1.79542389573892712589e+09,NULL);
INSERT INTO "job_history" VALUES(5,'job-4',NULL,'pending',0,NULL,1.79542389573945283887e+09,NULL);
INSERT INTO "job_history" VALUES(6,'job-4','pending','processing',1,'w1',1.79542389573962116243e+09,NULL);
INSERT INTO "job_history" VALUES(7,'job-4','processing','completed',1,'w1',1.79542389574022340781e+09,NULL);
INSERT INTO "job_history" VALUES(8,'job-5',NULL,'pending',0,NULL,1.79542389574053072934e+09,NULL);
INSERT INTO "job_history" VALUES(9,'job-5','pending','processing',1,'w1',1.79542389574072909358e+09,NULL);
INSERT INTO "job_history" VALUES(10,'job-5','processing','failed',1,'w1',1.79542389574183917045e+09,'boom');
INSERT INTO "job_history" VALUES(11,'job-6',NULL,'pending',0,NULL,1795423895.74212,NULL);
INSERT INTO "job_history" VALUES(12,'job-6','pending','cancelled',0,NULL,1.79542389574283528324e+09,'no longer wanted');
INSERT INTO "job_history" VALUES(13,'job-7',NULL,'pending',0,NULL,1.79542389574314260481e+09,NULL);
INSERT INTO "job_history" VALUES(14,'job_id 1 é🦀 ''quoted'' \ 100 %
next line','from_status 1 é🦀 ''quoted'' \ 100 %
next line','status 1 é🦀 ''quoted'' \ 100 %
next line',1,'worker_id 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,'details 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO "job_history" VALUES(15,'job_id 2 é🦀 ''quoted'' \ 100 %
next line',NULL,'status 2 é🦀 ''quoted'' \ 100 %
next line',2,NULL,1700000000.2,NULL);
INSERT INTO "job_history" VALUES(16,'id 1 é🦀 ''quoted'' \ 100 %
next line',NULL,'blocked',1,'worker 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,NULL);
INSERT INTO "job_history" VALUES(17,'id 2 é🦀 ''quoted'' \ 100 %
next line',NULL,'blocked',2,NULL,1700000000.2,NULL);
CREATE TABLE job_history_archive (
	id INTEGER NOT NULL, 
	job_id TEXT NOT NULL, 
	from_status TEXT, 
	status TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	worker_id TEXT, 
	timestamp DOUBLE NOT NULL, 
	details TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "job_history_archive" VALUES(1,'job_id 1 é🦀 ''quoted'' \ 100 %
next line','from_status 1 é🦀 ''quoted'' \ 100 %
next line','status 1 é🦀 ''quoted'' \ 100 %
next line',1,'worker_id 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,'details 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO "job_history_archive" VALUES(2,'job_id 2 é🦀 ''quoted'' \ 100 %
next line',NULL,'status 2 é🦀 ''quoted'' \ 100 %
next line',2,NULL,1700000000.2,NULL);
CREATE TABLE job_logs (
	job_id TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	seq INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	lines TEXT NOT NULL, 
	PRIMARY KEY (job_id, attempt, seq)
);
INSERT INTO "job_logs" VALUES('job_id 1 é🦀 ''quoted'' \ 100 %
next line',1,1,1700000000.1,'{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}');
INSERT INTO "job_logs" VALUES('job_id 2 é🦀 ''quoted'' \ 100 %
next line',2,2,1700000000.2,'{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}');
CREATE TABLE jobs (
	seq INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	lane TEXT NOT NULL, 
	priority INTEGER NOT NULL, 
	effort INTEGER NOT NULL, 
	status TEXT NOT NULL, 
	args TEXT NOT NULL, 
	result TEXT, 
	error TEXT, 
	retry_count INTEGER NOT NULL, 
	max_retries INTEGER NOT NULL, 
	retry_base DOUBLE NOT NULL, 
	attempt INTEGER NOT NULL, 
	backoff_until DOUBLE, 
	published_at DOUBLE, 
	worker TEXT, 
	lease_until DOUBLE, 
	time_limit DOUBLE, 
	unique_key TEXT, 
	concurrency_key TEXT, 
	start_by DOUBLE, 
	held_at DOUBLE, 
	held_for TEXT, 
	canvas TEXT, 
	required TEXT, 
	labels TEXT, 
	routing TEXT, 
	trace TEXT, 
	plan_id TEXT, 
	task_id TEXT, 
	round INTEGER NOT NULL, 
	created_at DOUBLE NOT NULL, 
	started_at DOUBLE, 
	status_updated_at DOUBLE NOT NULL, 
	dead_at DOUBLE, 
	PRIMARY KEY (seq), 
	CONSTRAINT job_status CHECK (status IN ('blocked', 'pending', 'processing', 'completed', 'failed', 'cancelled')), 
	CONSTRAINT job_priority CHECK (priority BETWEEN 0 AND 4), 
	UNIQUE (id)
);
INSERT INTO "jobs" VALUES(1,'job-1','test.add','call','code',3,2,'blocked','{"args":[1],"kwargs":{}}',NULL,NULL,0,1,1.0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1.79542389573574900623e+09,NULL,1.79542389573575067516e+09,NULL);
INSERT INTO "jobs" VALUES(2,'job-2','test.add','call','code',3,2,'pending','{"args":[1],"kwargs":{}}',NULL,NULL,0,1,1.0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1.7954238957363364696e+09,NULL,1.79542389573633718495e+09,NULL);
INSERT INTO "jobs" VALUES(3,'job-3','test.add','call','code',3,2,'processing','{"args":[1],"kwargs":{}}',NULL,NULL,0,1,1.0,1,NULL,NULL,'w1',1.79542392573892545704e+09,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1.79542389573658204074e+09,1.7954238957389268875e+09,1.79542389573892712589e+09,NULL);
INSERT INTO "jobs" VALUES(4,'job-4','test.add','call','code',3,2,'completed','{"args":[1],"kwargs":{}}','2',NULL,0,1,1.0,1,NULL,NULL,'w1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1.79542389573945236199e+09,1.79542389573962116243e+09,1.79542389574022340781e+09,NULL);
INSERT INTO "jobs" VALUES(5,'job-5','test.add','call','code',3,2,'failed','{"args":[1],"kwargs":{}}',NULL,'boom',1,1,1.0,1,NULL,NULL,'w1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1795423895.74053,1.79542389574072885514e+09,1.79542389574183917045e+09,1.79542389574183964724e+09);
INSERT INTO "jobs" VALUES(6,'job-6','test.add','call','code',3,2,'cancelled','{"args":[1],"kwargs":{}}',NULL,'no longer wanted',0,1,1.0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1.79542389574211907381e+09,NULL,1.79542389574283528324e+09,NULL);
INSERT INTO "jobs" VALUES(7,'job-7','test.add','call','code',3,2,'pending','{"args":["\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line",1000000000000000000000000000000],"kwargs":{"x":0.1}}',NULL,NULL,0,3,1.0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1.79542389574314212793e+09,NULL,1.79542389574314260481e+09,NULL);
INSERT INTO "jobs" VALUES(8,'id 1 é🦀 ''quoted'' \ 100 %
next line','name 1 é🦀 ''quoted'' \ 100 %
next line','kind 1 é🦀 ''quoted'' \ 100 %
next line','odd',4,1,'blocked','{"args":["\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line",1000000000000000000000000000000,1.0,null],"kwargs":{"nul":"\u0000","deep":[[{}]]}}','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}','error 1 é🦀 ''quoted'' \ 100 %
next line',1,1,1700000000.1,1,1700000000.1,1700000000.1,'worker 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,1700000000.1,'unique_key 1 é🦀 ''quoted'' \ 100 %
next line','concurrency_key 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,1700000000.1,'held_for 1 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}','trace 1 é🦀 ''quoted'' \ 100 %
next line','plan_id 1 é🦀 ''quoted'' \ 100 %
next line','task_id 1 é🦀 ''quoted'' \ 100 %
next line',1,1700000000.1,1700000000.1,1700000000.1,1700000000.1);
INSERT INTO "jobs" VALUES(9,'id 2 é🦀 ''quoted'' \ 100 %
next line','name 2 é🦀 ''quoted'' \ 100 %
next line','kind 2 é🦀 ''quoted'' \ 100 %
next line','odd',4,2,'blocked','{"args":["\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line",1000000000000000000000000000000,1.0,null],"kwargs":{"nul":"\u0000","deep":[[{}]]}}',NULL,NULL,2,2,1700000000.2,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,2,1700000000.2,NULL,1700000000.2,NULL);
CREATE TABLE jobs_archive (
	seq INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	lane TEXT NOT NULL, 
	status TEXT NOT NULL, 
	plan_id TEXT, 
	task_id TEXT, 
	created_at DOUBLE NOT NULL, 
	status_updated_at DOUBLE NOT NULL, 
	archived_at DOUBLE NOT NULL, 
	"row" TEXT NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id)
);
INSERT INTO "jobs_archive" VALUES(1,'id 1 é🦀 ''quoted'' \ 100 %
next line','name 1 é🦀 ''quoted'' \ 100 %
next line','kind 1 é🦀 ''quoted'' \ 100 %
next line','lane 1 é🦀 ''quoted'' \ 100 %
next line','status 1 é🦀 ''quoted'' \ 100 %
next line','plan_id 1 é🦀 ''quoted'' \ 100 %
next line','task_id 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,1700000000.1,1700000000.1,'{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}');
INSERT INTO "jobs_archive" VALUES(2,'id 2 é🦀 ''quoted'' \ 100 %
next line','name 2 é🦀 ''quoted'' \ 100 %
next line','kind 2 é🦀 ''quoted'' \ 100 %
next line','lane 2 é🦀 ''quoted'' \ 100 %
next line','status 2 é🦀 ''quoted'' \ 100 %
next line',NULL,NULL,1700000000.2,1700000000.2,1700000000.2,'{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}');
CREATE TABLE lanes (
	lane TEXT NOT NULL, 
	paused_at DOUBLE, 
	concurrency_limit INTEGER, 
	rate_limit DOUBLE, 
	tokens DOUBLE NOT NULL, 
	tokens_at DOUBLE NOT NULL, 
	PRIMARY KEY (lane), 
	CONSTRAINT lane_concurrency_limit CHECK (concurrency_limit > 0), 
	CONSTRAINT lane_rate_limit CHECK (rate_limit > 0)
);
INSERT INTO "lanes" VALUES('lane 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,1,1700000000.1,1700000000.1,1700000000.1);
INSERT INTO "lanes" VALUES('lane 2 é🦀 ''quoted'' \ 100 %
next line',NULL,NULL,NULL,1700000000.2,1700000000.2);
CREATE TABLE ledger_facts (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "ledger_facts" VALUES('oldest_program.0006','5');
INSERT INTO "ledger_facts" VALUES('name 1 é🦀 ''quoted'' \ 100 %
next line','value 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO "ledger_facts" VALUES('name 2 é🦀 ''quoted'' \ 100 %
next line','value 2 é🦀 ''quoted'' \ 100 %
next line');
CREATE TABLE metric_marks (
	source TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	PRIMARY KEY (source)
);
INSERT INTO "metric_marks" VALUES('source 1 é🦀 ''quoted'' \ 100 %
next line',9007199254740993);
INSERT INTO "metric_marks" VALUES('source 2 é🦀 ''quoted'' \ 100 %
next line',9007199254740994);
CREATE TABLE metric_totals (
	name TEXT NOT NULL, 
	labels TEXT NOT NULL, 
	value DOUBLE NOT NULL, 
	PRIMARY KEY (name, labels)
);
INSERT INTO "metric_totals" VALUES('name 1 é🦀 ''quoted'' \ 100 %
next line','labels 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1);
INSERT INTO "metric_totals" VALUES('name 2 é🦀 ''quoted'' \ 100 %
next line','labels 2 é🦀 ''quoted'' \ 100 %
next line',1700000000.2);
CREATE TABLE plans (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	status TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	source TEXT NOT NULL, 
	plan_dir TEXT NOT NULL, 
	repo TEXT NOT NULL, 
	remote TEXT, 
	base_commit TEXT NOT NULL, 
	branch TEXT NOT NULL, 
	spec TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	ended_at DOUBLE, 
	PRIMARY KEY (id), 
	CONSTRAINT plan_status CHECK (status IN ('running', 'completed', 'failed', 'cancelled', 'replaced'))
);
INSERT INTO "plans" VALUES('id 1 é🦀 ''quoted'' \ 100 %
next line','name 1 é🦀 ''quoted'' \ 100 %
next line','running','digest 1 é🦀 ''quoted'' \ 100 %
next line','source 1 é🦀 ''quoted'' \ 100 %
next line','plan_dir 1 é🦀 ''quoted'' \ 100 %
next line','repo 1 é🦀 ''quoted'' \ 100 %
next line','remote 1 é🦀 ''quoted'' \ 100 %
next line','base_commit 1 é🦀 ''quoted'' \ 100 %
next line','branch 1 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',1700000000.1,1700000000.1);
INSERT INTO "plans" VALUES('id 2 é🦀 ''quoted'' \ 100 %
next line','name 2 é🦀 ''quoted'' \ 100 %
next line','running','digest 2 é🦀 ''quoted'' \ 100 %
next line','source 2 é🦀 ''quoted'' \ 100 %
next line','plan_dir 2 é🦀 ''quoted'' \ 100 %
next line','repo 2 é🦀 ''quoted'' \ 100 %
next line',NULL,'base_commit 2 é🦀 ''quoted'' \ 100 %
next line','branch 2 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',1700000000.2,NULL);
CREATE TABLE result_cache (
	cache TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	status TEXT NOT NULL, 
	value TEXT, 
	size INTEGER NOT NULL, 
	holder TEXT, 
	held_until DOUBLE, 
	tag TEXT, 
	created_at DOUBLE NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	used_at DOUBLE NOT NULL, 
	hits INTEGER NOT NULL, 
	PRIMARY KEY (cache, "key"), 
	CONSTRAINT cache_status CHECK (status IN ('making', 'ready'))
);
INSERT INTO "result_cache" VALUES('cache 1 é🦀 ''quoted'' \ 100 %
next line','key 1 é🦀 ''quoted'' \ 100 %
next line','ready','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',1,'holder 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,'tag 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,1700000000.1,1700000000.1,1);
INSERT INTO "result_cache" VALUES('cache 2 é🦀 ''quoted'' \ 100 %
next line','key 2 é🦀 ''quoted'' \ 100 %
next line','ready',NULL,2,NULL,NULL,NULL,1700000000.2,1700000000.2,1700000000.2,2);
CREATE TABLE scale_decisions (
	id INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	lane TEXT NOT NULL, 
	provisioner TEXT NOT NULL, 
	"before" INTEGER NOT NULL, 
	target INTEGER NOT NULL, 
	applied INTEGER, 
	reason TEXT NOT NULL, 
	figures TEXT NOT NULL, 
	error TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "scale_decisions" VALUES(1,1700000000.1,'lane 1 é🦀 ''quoted'' \ 100 %
next line','provisioner 1 é🦀 ''quoted'' \ 100 %
next line',1,1,1,'reason 1 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}','error 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO "scale_decisions" VALUES(2,1700000000.2,'lane 2 é🦀 ''quoted'' \ 100 %
next line','provisioner 2 é🦀 ''quoted'' \ 100 %
next line',2,2,NULL,'reason 2 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',NULL);
CREATE TABLE scaling_rules (
	lane TEXT NOT NULL, 
	min_size INTEGER, 
	max_size INTEGER, 
	up_depth INTEGER, 
	down_depth INTEGER, 
	up_age DOUBLE, 
	down_after DOUBLE, 
	PRIMARY KEY (lane), 
	CONSTRAINT scaling_bounds CHECK (min_size >= 0 AND max_size >= 1)
);
INSERT INTO "scaling_rules" VALUES('lane 1 é🦀 ''quoted'' \ 100 %
next line',1,1,1,1,1700000000.1,1700000000.1);
INSERT INTO "scaling_rules" VALUES('lane 2 é🦀 ''quoted'' \ 100 %
next line',NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE task_needs (
	plan_id TEXT NOT NULL, 
	needs_id TEXT NOT NULL, 
	task_id TEXT NOT NULL, 
	PRIMARY KEY (plan_id, needs_id, task_id), 
	FOREIGN KEY(plan_id) REFERENCES plans (id) ON DELETE CASCADE
);
INSERT INTO "task_needs" VALUES('id 1 é🦀 ''quoted'' \ 100 %
next line','needs_id 1 é🦀 ''quoted'' \ 100 %
next line','task_id 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO "task_needs" VALUES('id 2 é🦀 ''quoted'' \ 100 %
next line','needs_id 2 é🦀 ''quoted'' \ 100 %
next line','task_id 2 é🦀 ''quoted'' \ 100 %
next line');
CREATE TABLE tasks (
	plan_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	title TEXT NOT NULL, 
	status TEXT NOT NULL, 
	stage TEXT, 
	spec TEXT NOT NULL, 
	waiting_on INTEGER NOT NULL, 
	fix_round INTEGER NOT NULL, 
	max_fix_rounds INTEGER NOT NULL, 
	commit_id TEXT, 
	error TEXT, 
	status_updated_at DOUBLE NOT NULL, 
	PRIMARY KEY (plan_id, id), 
	CONSTRAINT task_status CHECK (status IN ('waiting', 'running', 'deployed', 'dead', 'blocked', 'cancelled')), 
	FOREIGN KEY(plan_id) REFERENCES plans (id) ON DELETE CASCADE
);
INSERT INTO "tasks" VALUES('id 1 é🦀 ''quoted'' \ 100 %
next line','id 1 é🦀 ''quoted'' \ 100 %
next line',1,'title 1 é🦀 ''quoted'' \ 100 %
next line','waiting','stage 1 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',1,1,1,'commit_id 1 é🦀 ''quoted'' \ 100 %
next line','error 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1);
INSERT INTO "tasks" VALUES('id 2 é🦀 ''quoted'' \ 100 %
next line','id 2 é🦀 ''quoted'' \ 100 %
next line',2,'title 2 é🦀 ''quoted'' \ 100 %
next line','waiting',NULL,'{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',2,2,2,NULL,NULL,1700000000.2);
CREATE TABLE upkeep (
	name TEXT NOT NULL, 
	looked_at DOUBLE NOT NULL, 
	patient_until DOUBLE NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "upkeep" VALUES('name 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,1700000000.1);
INSERT INTO "upkeep" VALUES('name 2 é🦀 ''quoted'' \ 100 %
next line',1700000000.2,1700000000.2);
CREATE TABLE worker_health (
	worker_id TEXT NOT NULL, 
	lane TEXT NOT NULL, 
	tier TEXT NOT NULL, 
	active_tasks INTEGER NOT NULL, 
	capacity_limit INTEGER NOT NULL, 
	status TEXT NOT NULL, 
	last_seen DOUBLE NOT NULL, 
	host TEXT, 
	process TEXT, 
	version TEXT, 
	labels TEXT, 
	functions TEXT, 
	started_at DOUBLE, 
	draining_at DOUBLE, 
	schema_version INTEGER, 
	PRIMARY KEY (worker_id, lane)
);
INSERT INTO "worker_health" VALUES('worker_id 1 é🦀 ''quoted'' \ 100 %
next line','lane 1 é🦀 ''quoted'' \ 100 %
next line','tier 1 é🦀 ''quoted'' \ 100 %
next line',1,1,'status 1 é🦀 ''quoted'' \ 100 %
next line',1700000000.1,'host 1 é🦀 ''quoted'' \ 100 %
next line','process 1 é🦀 ''quoted'' \ 100 %
next line','version 1 é🦀 ''quoted'' \ 100 %
next line','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}','{"number":1000000000000000000000000000000,"float":1.0,"text":"\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000","nothing":null}',1700000000.1,1700000000.1,1);
INSERT INTO "worker_health" VALUES('worker_id 2 é🦀 ''quoted'' \ 100 %
next line','lane 2 é🦀 ''quoted'' \ 100 %
next line','tier 2 é🦀 ''quoted'' \ 100 %
next line',2,2,'status 2 é🦀 ''quoted'' \ 100 %
next line',1700000000.2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE INDEX idx_plans_name ON plans (name, created_at);
CREATE INDEX idx_jobs_running ON jobs (lane, lease_until) WHERE status = 'processing';
CREATE INDEX idx_jobs_held_key ON jobs (lane, concurrency_key, priority, seq) WHERE status = 'pending' AND held_for = 'key';
CREATE INDEX idx_jobs_held_worker ON jobs (priority, seq) WHERE status = 'pending' AND held_for = 'worker';
CREATE INDEX idx_jobs_plan ON jobs (plan_id, task_id) WHERE plan_id IS NOT NULL;
CREATE INDEX idx_jobs_outbox ON jobs (priority, seq) WHERE status = 'pending' AND backoff_until IS NULL AND published_at IS NULL AND held_at IS NULL;
CREATE INDEX idx_jobs_ahead ON jobs (concurrency_key) WHERE status = 'pending' AND held_for <> 'key' AND concurrency_key IS NOT NULL;
CREATE UNIQUE INDEX idx_jobs_busy_key ON jobs (concurrency_key) WHERE concurrency_key IS NOT NULL AND status = 'processing';
CREATE UNIQUE INDEX idx_jobs_unique ON jobs (unique_key) WHERE unique_key IS NOT NULL AND status IN ('blocked', 'pending', 'processing');
CREATE INDEX idx_jobs_dead ON jobs (dead_at) WHERE dead_at IS NOT NULL;
CREATE INDEX idx_jobs_blocked ON jobs (lane) WHERE status = 'blocked';
CREATE INDEX idx_backoff_ready ON jobs (backoff_until) WHERE status = 'pending' AND backoff_until IS NOT NULL;
CREATE INDEX idx_jobs_start_by ON jobs (start_by) WHERE status = 'pending' AND attempt = 0 AND start_by IS NOT NULL;
CREATE INDEX idx_jobs_ended ON jobs (lane, status) WHERE status IN ('cancelled', 'completed', 'failed');
CREATE INDEX idx_jobs_ready ON jobs (lane, priority, seq) WHERE status = 'pending' AND backoff_until IS NULL AND held_at IS NULL;
CREATE INDEX idx_jobs_held ON jobs (lane, priority, seq) WHERE status = 'pending' AND held_for = 'lane';
CREATE INDEX idx_history_time ON job_history (timestamp);
CREATE INDEX idx_history_job ON job_history (job_id, id);
CREATE INDEX idx_archive_job ON job_history_archive (job_id, id);
CREATE INDEX idx_chords_body ON chords (body_id);
CREATE INDEX idx_consensus_spec_stage ON consensus_runs (spec_id, stage);
CREATE INDEX idx_consensus_timestamp ON consensus_runs (run_timestamp);
CREATE INDEX idx_cache_expires ON result_cache (cache, expires_at);
CREATE INDEX idx_cache_tag ON result_cache (tag);
CREATE INDEX idx_cache_used ON result_cache (cache, used_at);
CREATE INDEX idx_usage_plan ON agent_usage (plan_id, task_id);
CREATE INDEX idx_scale_lane ON scale_decisions (lane, id);
CREATE INDEX idx_events_session ON events (session_id, id);
CREATE INDEX idx_events_source ON events (source_app);
CREATE INDEX idx_events_priority ON events (priority DESC, timestamp DESC);
CREATE INDEX idx_events_type_priority ON events (hook_event_type, priority DESC, timestamp DESC);
CREATE INDEX idx_events_session_priority ON events (session_id, priority DESC, timestamp DESC);
CREATE INDEX idx_job_logs_at ON job_logs (at);
CREATE INDEX idx_jobs_archive_ended ON jobs_archive (status_updated_at);
CREATE INDEX idx_jobs_archive_plan ON jobs_archive (plan_id, task_id) WHERE plan_id IS NOT NULL;
CREATE INDEX idx_audit_target ON audit (target, id);
CREATE INDEX idx_audit_time ON audit (at);
CREATE INDEX idx_agent_outputs_run ON agent_outputs (run_id);
CREATE INDEX idx_agent_outputs_agent ON agent_outputs (agent_name);
CREATE VIEW view_dead_letter_queue AS
SELECT id, name, kind, lane, plan_id, task_id, attempt AS attempts, retry_count, max_retries,
       error, args, dead_at, created_at
FROM jobs WHERE dead_at IS NOT NULL;
CREATE VIEW view_lane_demand AS
SELECT lane, SUM(waiting) AS waiting, MAX(oldest_age) AS oldest_age, SUM(busy) AS busy,
       SUM(slots) AS slots
FROM (
  SELECT lane, COUNT(*) AS waiting, MAX(vibe_now() - status_updated_at) AS oldest_age,
         0 AS busy, 0 AS slots
  FROM jobs WHERE status = 'pending' AND backoff_until IS NULL AND held_at IS NULL GROUP BY lane
  UNION ALL
  SELECT lane, COUNT(*), MAX(vibe_now() - backoff_until), 0, 0
  FROM jobs WHERE status = 'pending' AND backoff_until <= vibe_now() GROUP BY lane
  UNION ALL
  SELECT lane, COUNT(*), MAX(vibe_now() - held_at), 0, 0
  FROM jobs WHERE status = 'pending' AND held_for = 'worker' AND held_at IS NOT NULL GROUP BY lane
  UNION ALL
  SELECT lane, 0, 0.0, COUNT(*), 0 FROM jobs WHERE status = 'processing' GROUP BY lane
  UNION ALL
  SELECT lane, 0, 0.0, 0, SUM(capacity_limit)
  FROM worker_health WHERE status = 'online' AND last_seen > vibe_now() - 60.0
  GROUP BY lane
) AS parts GROUP BY lane;
CREATE TRIGGER trg_job_submitted AFTER INSERT ON jobs BEGIN
  INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
  VALUES (NEW.id, NULL, NEW.status, NEW.attempt, NEW.worker, NEW.status_updated_at, NULL);
END;
CREATE TRIGGER trg_job_moved AFTER UPDATE OF status ON jobs WHEN OLD.status <> NEW.status BEGIN
  INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
  VALUES (NEW.id, OLD.status, NEW.status, NEW.attempt, COALESCE(NEW.worker, OLD.worker),
          NEW.status_updated_at, NEW.error);
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('job_history',17);
INSERT INTO "sqlite_sequence" VALUES('audit',2);
INSERT INTO "sqlite_sequence" VALUES('events',2);
COMMIT;
