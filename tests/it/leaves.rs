//! Every key of the config has a test that shows its effect: a key that changes nothing does not
//! exist.
//!
//! To add a key, add its row: `*` stands for a name, `[]` for each element.

use crate::harness::vanne::binary;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Key → the test that shows what it does.
const LEAVES: &[(&str, &str)] = &[
    ("access_log.format", "a_line_looks_as_the_format_says_and_a_reload_changes_it"),
    ("access_log.headers.request.*", "header_fields_are_captured_cut_and_secrets_hidden"),
    ("access_log.headers.response.*", "header_fields_are_captured_cut_and_secrets_hidden"),
    ("access_log.redact.headers[]", "header_fields_are_captured_cut_and_secrets_hidden"),
    ("access_log.redact.parameters[]", "secrets_in_targets_are_hidden"),
    ("access_log.sample[].route", "some_requests_have_a_line_and_trouble_always_has"),
    ("access_log.sample[].share", "some_requests_have_a_line_and_trouble_always_has"),
    ("access_log.sample[].status", "some_requests_have_a_line_and_trouble_always_has"),
    ("access_log.to", "the_log_goes_to_the_file_that_is_named"),
    ("admin.address", "a_loopback_address_without_tokens_lets_everybody_look_and_nobody_change"),
    ("admin.audit_file", "every_change_and_every_refused_attempt_is_a_line_of_the_audit_log"),
    ("admin.hosts[]", "what_a_web_page_makes_a_browser_send_is_refused"),
    ("admin.socket", "vanne_reload_prints_what_came_of_it"),
    ("admin.tokens_file", "nothing_is_answered_without_a_token_or_with_a_bad_one"),
    ("blocklist.allow[]", "a_denied_peer_is_closed_at_once_and_allow_wins"),
    ("blocklist.automatic.after", "who_gets_too_many_refusals_is_blocked_for_a_while"),
    ("blocklist.automatic.block_for", "who_gets_too_many_refusals_is_blocked_for_a_while"),
    ("blocklist.automatic.max_addresses", "few_addresses_are_remembered_if_few_may_be"),
    ("blocklist.automatic.on[]", "what_counts_is_what_the_config_says"),
    ("blocklist.automatic.within", "a_bucket_empties_in_its_time"),
    ("blocklist.deny[]", "a_denied_peer_is_closed_at_once_and_allow_wins"),
    ("blocklist.deny_asns[]", "operators_are_blocked_by_their_number"),
    ("blocklist.deny_countries[]", "countries_are_blocked_and_logged"),
    ("blocklist.files[]", "files_name_networks_and_are_read_again_when_they_change"),
    ("blocklist.max_blocks", "what_makes_no_sense_is_refused_and_why_is_said"),
    ("blocklist.only_countries[]", "only_some_countries_may_come_in"),
    ("blocklist.shared", "blocks_that_are_not_shared_stay_here"),
    (
        "cors.*.credentials",
        "pages_that_may_read_an_answer_are_named_and_backends_are_not_asked_who",
    ),
    ("cors.*.expose[]", "pages_that_may_read_an_answer_are_named_and_backends_are_not_asked_who"),
    ("cors.*.headers[]", "preflights_are_answered_before_anybody_else_is_asked"),
    ("cors.*.max_age", "preflights_are_answered_before_anybody_else_is_asked"),
    ("cors.*.methods[]", "preflights_are_answered_before_anybody_else_is_asked"),
    ("cors.*.origins[]", "pages_that_may_read_an_answer_are_named_and_backends_are_not_asked_who"),
    ("cors.*.private_network", "what_everybody_may_read_is_the_same_for_all"),
    ("fallback_cache.entry_size", "the_store_is_bounded_and_answers_grow_too_old"),
    ("fallback_cache.size", "the_store_is_bounded_and_answers_grow_too_old"),
    ("fallback_cache.stale_for", "the_store_is_bounded_and_answers_grow_too_old"),
    ("geoip.asn", "operators_are_blocked_by_their_number"),
    ("geoip.country", "countries_are_blocked_and_logged"),
    ("identity.*.api_keys.file", "a_key_lets_its_program_in_until_its_time"),
    ("identity.*.api_keys.header", "a_key_lets_its_program_in_until_its_time"),
    (
        "identity.*.basic.file",
        "a_good_password_is_remembered_for_a_while_and_until_the_file_changes",
    ),
    (
        "identity.*.basic.remember",
        "a_good_password_is_remembered_for_a_while_and_until_the_file_changes",
    ),
    ("identity.*.client_certificate.user", "a_certificate_says_who_its_client_is"),
    ("identity.*.forward.ca_file", "a_service_proves_by_tls_that_it_is_the_one"),
    ("identity.*.forward.claims.*", "who_may_pass_is_known_by_what_the_service_says"),
    ("identity.*.forward.max_at_once", "a_slow_service_holds_up_its_own_route_and_no_other"),
    (
        "identity.*.forward.remember",
        "a_yes_is_remembered_for_the_same_request_if_the_config_says_so",
    ),
    (
        "identity.*.forward.request_headers[]",
        "what_it_gets_and_what_its_fields_are_called_is_said_in_the_config",
    ),
    ("identity.*.forward.timeout", "without_a_word_of_the_service_nobody_passes"),
    ("identity.*.forward.url", "who_may_pass_is_known_by_what_the_service_says"),
    (
        "identity.*.forward.user_header",
        "what_it_gets_and_what_its_fields_are_called_is_said_in_the_config",
    ),
    ("identity.*.jwt.algorithms[]", "what_is_asked_of_a_token_is_said_in_the_config"),
    ("identity.*.jwt.audiences[]", "what_is_asked_of_a_token_is_said_in_the_config"),
    ("identity.*.jwt.ca_file", "keys_are_fetched_from_who_the_authorities_say_it_is"),
    ("identity.*.jwt.from", "a_shared_secret_signs_too_and_other_places_hold_tokens"),
    ("identity.*.jwt.issuer", "what_is_asked_of_a_token_is_said_in_the_config"),
    ("identity.*.jwt.jwks", "a_token_of_each_algorithm_lets_its_bearer_in_and_names_them"),
    ("identity.*.jwt.max_age", "while_the_issuer_is_away_or_wrong_its_last_keys_stay_for_max_age"),
    ("identity.*.jwt.max_cached", "what_is_asked_of_a_token_is_said_in_the_config"),
    ("identity.*.jwt.max_token", "what_is_asked_of_a_token_is_said_in_the_config"),
    ("identity.*.jwt.refresh", "keys_change_under_load_and_nobody_is_refused"),
    ("identity.*.jwt.required_claims[]", "what_is_asked_of_a_token_is_said_in_the_config"),
    ("identity.*.jwt.scopes_claim", "scopes_let_do_what_they_say"),
    ("identity.*.jwt.secret_file", "a_shared_secret_signs_too_and_other_places_hold_tokens"),
    ("identity.*.jwt.skew", "what_is_asked_of_a_token_is_said_in_the_config"),
    ("identity.*.jwt.user_claim", "what_is_asked_of_a_token_is_said_in_the_config"),
    (
        "kubernetes.context",
        "the_port_may_be_a_number_and_the_namespace_and_context_those_of_the_kubeconfig",
    ),
    ("kubernetes.kubeconfig", "a_pool_follows_the_pods_of_a_service"),
    ("kubernetes.resync", "what_no_watch_tells_is_found_by_listing_now_and_then"),
    ("kubernetes.zone", "pods_for_the_own_zone_are_preferred_unless_zones_are_ignored"),
    ("listener.*.address", "each_listener_has_its_address_and_its_name_in_the_log"),
    ("listener.*.connection_rate.burst", "an_address_may_connect_so_often"),
    ("listener.*.connection_rate.ipv6_prefix", "an_address_may_connect_so_often"),
    ("listener.*.connection_rate.rate", "an_address_may_connect_so_often"),
    ("listener.*.error_pages.*", "refusals_are_told_in_the_words_of_pages"),
    ("listener.*.explain_to[]", "clients_that_may_know_are_told_why_they_got_their_answer"),
    ("listener.*.http2.max_streams", "no_more_streams_are_open_than_max_streams"),
    ("listener.*.https_port", "the_port_of_https_may_be_another"),
    ("listener.*.max_connections", "a_connection_beyond_max_connections_gets_503_and_is_closed"),
    (
        "listener.*.paths.dot_segments",
        "dot_segments_are_taken_out_before_routes_edits_and_backends_see_them",
    ),
    (
        "listener.*.paths.encoded_slashes",
        "a_path_that_the_listener_refuses_gets_400_with_the_reason",
    ),
    (
        "listener.*.paths.repeated_slashes",
        "slashes_are_merged_and_needless_encoding_undone_before_routes_look",
    ),
    (
        "listener.*.paths.unsafe_characters",
        "what_a_client_ought_to_have_encoded_is_encoded_if_the_listener_says_so",
    ),
    ("listener.*.protocols[]", "a_listener_speaks_the_protocols_it_names"),
    ("listener.*.redirect_to_https", "a_listener_may_send_all_to_https"),
    (
        "listener.*.timeouts.between_bytes",
        "a_client_that_stalls_in_its_upload_gets_408_and_the_backend_is_not_blamed",
    ),
    (
        "listener.*.timeouts.handshake",
        "a_client_that_does_not_shake_hands_is_closed_at_the_deadline",
    ),
    ("listener.*.timeouts.head", "a_client_that_sends_its_head_too_slowly_gets_408"),
    ("listener.*.timeouts.idle", "an_idle_connection_is_closed_without_a_word"),
    ("listener.*.tls.certificates[]", "a_client_gets_the_certificate_for_the_name_it_asks_for"),
    ("listener.*.tls.client_ca", "other_authorities_count_from_the_next_handshake_on"),
    (
        "listener.*.tls.client_certificates",
        "where_certificates_are_optional_routes_say_who_needs_one",
    ),
    (
        "listener.*.tls.default_certificate",
        "a_client_gets_the_certificate_for_the_name_it_asks_for",
    ),
    ("listener.*.tls.min_version", "tls_12_is_refused_unless_it_is_allowed"),
    ("listener.*.tls.strict_sni", "a_client_gets_the_certificate_for_the_name_it_asks_for"),
    (
        "listener.*.tls.ticket_keys_file",
        "a_client_comes_back_by_a_ticket_to_any_worker_and_any_replica_with_the_keys",
    ),
    (
        "listener.*.tls.ticket_rotation",
        "ticket_keys_are_rotated_and_old_tickets_still_read_for_two_periods",
    ),
    ("listener.*.trusted_proxies[]", "a_trusted_proxy_is_believed_and_appended_to_its_chain"),
    ("log.level", "the_process_log_has_the_level_it_says"),
    ("page.*.headers.*", "refusals_are_told_in_the_words_of_pages"),
    ("page.*.html", "refusals_are_told_in_the_words_of_pages"),
    ("page.*.html_file", "a_page_in_a_file_is_read_again_when_it_changes"),
    ("page.*.json", "refusals_are_told_in_the_words_of_pages"),
    ("page.*.json_file", "a_page_in_a_file_is_read_again_when_it_changes"),
    ("page.*.retry_after", "refusals_are_told_in_the_words_of_pages"),
    ("page.*.status", "refusals_are_told_in_the_words_of_pages"),
    ("pool.*.algorithm", "requests_are_spread_evenly_over_the_backends_of_a_pool"),
    ("pool.*.backends[]", "requests_are_spread_evenly_over_the_backends_of_a_pool"),
    ("pool.*.backends_file", "backends_come_from_a_file_that_is_watched"),
    ("pool.*.breaker.backends.*.failure_rate", "a_backend_may_have_numbers_of_its_own"),
    ("pool.*.breaker.backends.*.failures", "a_backend_may_have_numbers_of_its_own"),
    ("pool.*.breaker.backends.*.open_for", "a_backend_may_have_numbers_of_its_own"),
    ("pool.*.breaker.backends.*.slow_call.longer_than", "a_backend_may_have_numbers_of_its_own"),
    ("pool.*.breaker.backends.*.slow_call.rate", "a_backend_may_have_numbers_of_its_own"),
    ("pool.*.breaker.backoff", "a_circuit_is_open_for_longer_with_each_repeat"),
    ("pool.*.breaker.counts[]", "what_counts_as_a_failure_is_the_pools_to_say"),
    ("pool.*.breaker.failure_rate", "a_share_of_failures_opens_a_circuit_from_so_many_calls_on"),
    ("pool.*.breaker.failures", "a_circuit_opens_after_failures_in_a_row_and_probes_close_it"),
    ("pool.*.breaker.half_open_probes", "no_more_probes_are_under_way_than_may_be"),
    ("pool.*.breaker.half_open_successes", "no_more_probes_are_under_way_than_may_be"),
    ("pool.*.breaker.jitter", "a_circuit_is_open_for_longer_with_each_repeat"),
    ("pool.*.breaker.min_calls", "a_share_of_failures_opens_a_circuit_from_so_many_calls_on"),
    ("pool.*.breaker.open_for", "a_circuit_opens_after_failures_in_a_row_and_probes_close_it"),
    ("pool.*.breaker.open_for_max", "a_circuit_is_open_for_longer_with_each_repeat"),
    ("pool.*.breaker.slow_call.longer_than", "a_share_of_slow_calls_opens_a_circuit"),
    ("pool.*.breaker.slow_call.rate", "a_share_of_slow_calls_opens_a_circuit"),
    ("pool.*.breaker.window", "only_the_last_calls_are_remembered_and_only_for_a_time"),
    ("pool.*.breaker.window_time", "only_the_last_calls_are_remembered_and_only_for_a_time"),
    ("pool.*.dns.empty_after", "backends_come_from_dns_and_stay_when_it_fails"),
    ("pool.*.dns.max_ttl", "backends_come_from_dns_and_stay_when_it_fails"),
    ("pool.*.dns.min_ttl", "backends_come_from_dns_and_stay_when_it_fails"),
    ("pool.*.dns.name", "backends_come_from_dns_and_stay_when_it_fails"),
    ("pool.*.dns.port", "backends_come_from_dns_and_stay_when_it_fails"),
    ("pool.*.dns.servers[]", "backends_come_from_dns_and_stay_when_it_fails"),
    ("pool.*.dns.type", "backends_come_from_dns_and_stay_when_it_fails"),
    ("pool.*.fallback[]", "the_steps_of_a_chain_are_taken_in_turn_and_told"),
    ("pool.*.guard", "the_guard_keeps_a_share_of_a_pool_in_service_and_says_so"),
    ("pool.*.hash.load_max", "a_bounded_load_sends_one_clients_rush_to_others_too"),
    ("pool.*.hash.on", "a_hash_takes_a_client_to_the_same_backend"),
    ("pool.*.health.body", "what_a_check_asks_for_is_what_decides"),
    ("pool.*.health.body_regex", "what_a_check_asks_for_is_what_decides"),
    ("pool.*.health.fall", "a_backend_is_up_or_down_after_so_many_results_in_a_row"),
    ("pool.*.health.headers.*", "a_backend_whose_check_fails_is_left_out_until_it_passes"),
    ("pool.*.health.host", "a_backend_whose_check_fails_is_left_out_until_it_passes"),
    ("pool.*.health.interval", "a_backend_is_up_or_down_after_so_many_results_in_a_row"),
    ("pool.*.health.method", "a_backend_whose_check_fails_is_left_out_until_it_passes"),
    ("pool.*.health.path", "a_backend_whose_check_fails_is_left_out_until_it_passes"),
    ("pool.*.health.port", "what_a_check_asks_for_is_what_decides"),
    ("pool.*.health.protocol", "what_a_check_asks_for_is_what_decides"),
    ("pool.*.health.rise", "a_backend_is_up_or_down_after_so_many_results_in_a_row"),
    ("pool.*.health.service", "what_a_check_asks_for_is_what_decides"),
    ("pool.*.health.status", "a_backend_whose_check_fails_is_left_out_until_it_passes"),
    ("pool.*.health.timeout", "what_a_check_asks_for_is_what_decides"),
    ("pool.*.health.tls", "what_a_check_asks_for_is_what_decides"),
    ("pool.*.health.type", "what_a_check_asks_for_is_what_decides"),
    ("pool.*.http2.max_streams", "calls_share_connections_up_to_max_streams"),
    ("pool.*.kubernetes.namespace", "a_pool_follows_the_pods_of_a_service"),
    (
        "pool.*.kubernetes.port",
        "the_port_may_be_a_number_and_the_namespace_and_context_those_of_the_kubeconfig",
    ),
    ("pool.*.kubernetes.service", "a_pool_follows_the_pods_of_a_service"),
    ("pool.*.kubernetes.zone", "pods_for_the_own_zone_are_preferred_unless_zones_are_ignored"),
    ("pool.*.max_requests", "who_finds_all_backends_full_waits_in_order_or_is_refused"),
    ("pool.*.outliers.min_backends", "a_backend_that_does_worse_than_the_others_is_an_outlier"),
    ("pool.*.outliers.min_requests", "a_backend_that_does_worse_than_the_others_is_an_outlier"),
    ("pool.*.outliers.more_errors", "a_backend_that_does_worse_than_the_others_is_an_outlier"),
    ("pool.*.outliers.times_slower", "a_backend_that_does_worse_than_the_others_is_an_outlier"),
    ("pool.*.overload.max_in_flight", "a_pool_takes_on_so_much_and_what_matters_less_goes_first"),
    ("pool.*.overload.retry_after", "a_pool_takes_on_so_much_and_what_matters_less_goes_first"),
    ("pool.*.panic_threshold", "health_is_overlooked_when_too_few_are_healthy"),
    ("pool.*.protocol", "auto_speaks_http2_to_those_that_agree_and_http1_to_others"),
    ("pool.*.queue.size", "who_finds_all_backends_full_waits_in_order_or_is_refused"),
    ("pool.*.queue.timeout", "who_waits_too_long_gets_503_at_the_queues_limit"),
    ("pool.*.required", "the_start_waits_for_pools_that_are_required"),
    ("pool.*.retries.attempts", "attempts_are_counted"),
    ("pool.*.retries.backoff", "there_are_pauses_before_further_attempts"),
    ("pool.*.retries.backoff_max", "there_are_pauses_before_further_attempts"),
    ("pool.*.retries.body_max", "a_body_is_sent_once_more_if_it_was_short_enough_to_be_kept"),
    ("pool.*.retries.budget", "retries_are_a_share_of_the_requests"),
    ("pool.*.retries.budget_floor", "retries_are_a_share_of_the_requests"),
    ("pool.*.retries.on[]", "a_request_that_may_be_repeated_is_after_what_the_pool_says"),
    ("pool.*.slow_start", "a_new_backend_starts_slowly"),
    ("pool.*.sticky.cookie", "a_client_comes_back_by_its_cookie"),
    ("pool.*.sticky.header", "a_client_comes_back_by_its_header"),
    (
        "pool.*.sticky.key_file",
        "replicas_with_a_key_know_each_others_clients_and_keys_are_replaced",
    ),
    ("pool.*.sticky.same_site", "a_client_comes_back_by_its_cookie"),
    ("pool.*.sticky.ttl", "a_client_that_is_idle_for_too_long_is_forgotten"),
    ("pool.*.sticky.when_draining", "clients_of_a_draining_backend_stay_or_move"),
    ("pool.*.sticky.when_full", "clients_of_a_full_backend_move_or_are_refused"),
    ("pool.*.sticky.when_open", "clients_of_a_backend_with_an_open_circuit_move_or_are_refused"),
    ("pool.*.timeouts.between_bytes", "a_backend_that_stalls_in_its_body_cuts_the_answer"),
    ("pool.*.timeouts.connect", "a_connection_that_does_not_come_gives_504_at_the_connect_limit"),
    ("pool.*.timeouts.first_byte", "a_silent_backend_gives_504_at_the_first_byte_limit"),
    ("pool.*.timeouts.idle", "an_unused_connection_to_a_backend_is_closed_after_its_idle_limit"),
    ("pool.*.tls.ca_file", "a_backend_proves_the_name_it_is_asked_for"),
    ("pool.*.tls.certificate_file", "a_backend_that_asks_for_it_gets_our_certificate"),
    ("pool.*.tls.key_file", "a_backend_that_asks_for_it_gets_our_certificate"),
    ("pool.*.tls.server_name", "a_backend_proves_the_name_it_is_asked_for"),
    ("pool.*.tls.verify", "a_backend_of_an_unknown_authority_is_refused_unless_verify_is_off"),
    ("probe.address", "a_running_process_is_alive_ready_and_healthy"),
    ("probe.metrics_token", "metrics_ask_for_their_token"),
    ("probe.metrics_token_file", "the_metrics_token_may_be_in_a_file"),
    ("process.drain_deadline", "what_hangs_is_cut_at_the_drain_deadline"),
    ("process.drain_delay", "requests_are_accepted_during_the_drain_delay_and_answers_close"),
    ("process.idle_upstream_connections", "no_more_unused_connections_are_kept_than_it_says"),
    ("process.overload.max_in_flight", "the_process_takes_on_so_much_over_all_pools"),
    ("process.overload.retry_after", "the_process_takes_on_so_much_over_all_pools"),
    ("process.state_dir", "the_last_backends_are_kept_for_a_start_without_the_api_server"),
    ("process.watch_config", "without_watch_config_files_are_not_watched"),
    ("process.workers", "there_are_as_many_workers_as_it_says"),
    ("profile", "a_profile_says_what_the_file_leaves_out"),
    ("rate_limit.*.action", "a_limit_may_make_requests_wait"),
    ("rate_limit.*.adaptive.errors", "a_limit_may_let_in_less_while_backends_are_in_trouble"),
    ("rate_limit.*.adaptive.floor", "a_limit_may_let_in_less_while_backends_are_in_trouble"),
    ("rate_limit.*.adaptive.latency", "a_limit_may_let_in_less_while_backends_are_in_trouble"),
    ("rate_limit.*.burst", "each_address_has_a_burst_and_then_the_rate"),
    ("rate_limit.*.cost", "a_request_passes_all_limits_of_its_route_or_pays_none"),
    ("rate_limit.*.cost_header", "an_answer_may_say_what_its_request_has_cost"),
    ("rate_limit.*.ipv6_prefix", "a_key_tells_clients_apart"),
    ("rate_limit.*.key", "a_key_tells_clients_apart"),
    ("rate_limit.*.max_delay", "a_limit_may_make_requests_wait"),
    ("rate_limit.*.max_keys", "a_reload_keeps_the_buckets_and_memory_is_bounded"),
    ("rate_limit.*.method_cost.*", "a_cost_may_go_by_route_and_method"),
    ("rate_limit.*.rate", "the_bucket_fills_at_its_rate"),
    ("rate_limit.*.shared", "three_replicas_share_a_limit_exactly"),
    ("rate_limit.*.tell", "a_limit_may_be_tried_out"),
    ("redis.address", "metric_and_log_say_whether_redis_is_there"),
    ("redis.ca_file", "redis_may_want_tls_a_user_and_a_password"),
    ("redis.database", "keys_are_in_the_database_and_under_the_prefix_of_the_config"),
    ("redis.password_file", "redis_may_want_tls_a_user_and_a_password"),
    ("redis.prefix", "keys_are_in_the_database_and_under_the_prefix_of_the_config"),
    ("redis.timeout", "a_redis_on_a_socket_may_take_as_long_as_its_timeout"),
    ("redis.user", "redis_may_want_tls_a_user_and_a_password"),
    ("route[].answer.body", "a_route_may_answer_itself"),
    ("route[].answer.body_file", "the_body_of_an_answer_may_be_in_a_file"),
    ("route[].answer.content_type", "a_route_may_answer_itself"),
    ("route[].answer.headers.*", "a_route_may_answer_itself"),
    ("route[].answer.status", "a_route_may_answer_itself"),
    ("route[].at_once.ipv6_prefix", "one_client_may_have_so_many_requests_under_way"),
    ("route[].at_once.key", "one_client_may_have_so_many_requests_under_way"),
    ("route[].at_once.max", "one_client_may_have_so_many_requests_under_way"),
    ("route[].cookies.except[]", "cookies_of_backends_get_the_attributes_that_they_lack"),
    ("route[].cookies.http_only", "cookies_of_backends_get_the_attributes_that_they_lack"),
    ("route[].cookies.same_site", "cookies_of_backends_get_the_attributes_that_they_lack"),
    ("route[].cookies.secure", "cookies_of_our_own_are_secure_where_those_of_backends_are_to_be"),
    ("route[].cors", "preflights_are_answered_before_anybody_else_is_asked"),
    ("route[].error_pages.*", "refusals_are_told_in_the_words_of_pages"),
    ("route[].fallback[]", "a_routes_chain_goes_before_its_pools"),
    ("route[].headers.request.add.*", "a_route_edits_the_heads_of_its_requests"),
    ("route[].headers.request.remove[]", "a_route_edits_the_heads_of_its_requests"),
    ("route[].headers.request.set.*", "a_route_edits_the_heads_of_its_requests"),
    ("route[].headers.response.add.*", "a_route_edits_the_heads_of_its_answers"),
    ("route[].headers.response.remove[]", "a_route_edits_the_heads_of_its_answers"),
    ("route[].headers.response.set.*", "a_route_edits_the_heads_of_its_answers"),
    ("route[].identity.claims_to_headers.*", "the_backend_is_told_who_it_is_by_us_alone"),
    ("route[].identity.mode", "the_backend_is_told_who_it_is_by_us_alone"),
    ("route[].identity.scopes[]", "scopes_let_do_what_they_say"),
    ("route[].identity.use[]", "a_token_of_each_algorithm_lets_its_bearer_in_and_names_them"),
    ("route[].match.all[]", "all_any_and_not_compose_conditions"),
    ("route[].match.any[]", "all_any_and_not_compose_conditions"),
    ("route[].match.client[]", "a_client_is_matched_as_it_is_believed"),
    ("route[].match.cookie.*", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.cookie.*.contains", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.cookie.*.prefix", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.cookie.*.present", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.cookie.*.regex", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.cookie.*.suffix", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.header.*", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.header.*.contains", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.header.*.prefix", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.header.*.present", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.header.*.regex", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.header.*.suffix", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.host", "the_exact_host_wins_over_none_without_case_or_port"),
    ("route[].match.method[]", "a_route_takes_only_the_methods_it_names"),
    ("route[].match.not", "all_any_and_not_compose_conditions"),
    ("route[].match.path", "a_path_matches_by_whole_segments_and_the_longest_wins"),
    ("route[].match.path_exact", "exact_paths_and_patterns_stand_among_prefixes"),
    ("route[].match.path_regex", "exact_paths_and_patterns_stand_among_prefixes"),
    ("route[].match.query.*", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.query.*.contains", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.query.*.prefix", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.query.*.present", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.query.*.regex", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].match.query.*.suffix", "values_of_headers_parameters_and_cookies_choose_a_route"),
    ("route[].mirror.pool", "a_copy_of_each_request_goes_to_the_mirror"),
    ("route[].mirror.share", "only_the_share_is_copied"),
    ("route[].name", "a_line_tells_the_whole_story_of_a_request"),
    ("route[].pool", "a_path_matches_by_whole_segments_and_the_longest_wins"),
    ("route[].priority", "a_pool_takes_on_so_much_and_what_matters_less_goes_first"),
    ("route[].rate_limits[]", "a_request_passes_all_limits_of_its_route_or_pays_none"),
    ("route[].rate_limits[].cost", "a_cost_may_go_by_route_and_method"),
    ("route[].rate_limits[].name", "a_cost_may_go_by_route_and_method"),
    ("route[].redirect.host", "a_redirect_changes_the_parts_it_names"),
    ("route[].redirect.keep_query", "a_redirect_leads_to_the_whole_address_it_names"),
    ("route[].redirect.path", "a_redirect_changes_the_parts_it_names"),
    ("route[].redirect.port", "a_redirect_changes_the_parts_it_names"),
    ("route[].redirect.scheme", "a_redirect_changes_the_parts_it_names"),
    ("route[].redirect.status", "a_redirect_leads_to_the_whole_address_it_names"),
    ("route[].redirect.to", "a_redirect_leads_to_the_whole_address_it_names"),
    ("route[].rewrite.host", "a_backend_is_asked_for_the_host_that_the_route_says"),
    ("route[].rewrite.path", "a_path_is_rewritten_on_its_way_and_not_in_the_log"),
    ("route[].rewrite.path_prefix", "a_path_is_rewritten_on_its_way_and_not_in_the_log"),
    ("route[].rewrite.path_regex", "a_path_is_rewritten_on_its_way_and_not_in_the_log"),
    ("route[].security_headers", "a_route_names_a_set_or_a_preset_or_brings_its_own"),
    ("route[].split.by", "a_client_stays_on_its_side"),
    ("route[].split.pools.*", "requests_are_shared_by_weight_and_weights_move_with_a_reload"),
    ("route[].timeouts.total", "a_request_longer_than_its_total_gives_504_before_the_head"),
    ("route[].timeouts.tunnel_idle", "a_silent_tunnel_is_closed_after_its_idle_limit"),
    ("route[].waf", "what_rules_refuse_gets_403_with_the_requests_id_and_goes_nowhere"),
    ("security_headers.*.content_security_policy", "a_route_uses_the_security_headers_it_names"),
    ("security_headers.*.content_type_options", "a_route_uses_the_security_headers_it_names"),
    (
        "security_headers.*.cross_origin_embedder_policy",
        "a_route_uses_the_security_headers_it_names",
    ),
    ("security_headers.*.cross_origin_opener_policy", "a_route_uses_the_security_headers_it_names"),
    (
        "security_headers.*.cross_origin_resource_policy",
        "a_route_uses_the_security_headers_it_names",
    ),
    ("security_headers.*.frame_options", "a_route_uses_the_security_headers_it_names"),
    ("security_headers.*.permissions_policy", "a_route_uses_the_security_headers_it_names"),
    ("security_headers.*.preset", "a_route_names_a_set_or_a_preset_or_brings_its_own"),
    ("security_headers.*.referrer_policy", "a_route_uses_the_security_headers_it_names"),
    ("security_headers.*.remove[]", "fields_are_replaced_or_removed_as_the_set_says"),
    ("security_headers.*.replace[]", "fields_are_replaced_or_removed_as_the_set_says"),
    (
        "security_headers.*.strict_transport_security",
        "strict_transport_security_is_only_sent_in_answer_to_https",
    ),
    (
        "waf.*.answer_body.above",
        "a_longer_answer_than_is_looked_at_is_refused_or_its_first_part_is_looked_at",
    ),
    (
        "waf.*.answer_body.max",
        "a_longer_answer_than_is_looked_at_is_refused_or_its_first_part_is_looked_at",
    ),
    ("waf.*.answer_body.types[]", "what_rules_cannot_read_is_never_held_back"),
    ("waf.*.answers", "an_answer_that_leaks_is_refused_and_nothing_of_it_leaves"),
    (
        "waf.*.body.above",
        "a_longer_body_than_is_looked_at_is_refused_or_its_first_part_is_looked_at",
    ),
    ("waf.*.body.max", "a_longer_body_than_is_looked_at_is_refused_or_its_first_part_is_looked_at"),
    ("waf.*.crs", "the_core_rule_set_is_read_from_its_folder"),
    (
        "waf.*.exclusions[].route",
        "rules_may_be_left_out_or_not_look_at_something_on_all_routes_or_one",
    ),
    (
        "waf.*.exclusions[].rule",
        "rules_may_be_left_out_or_not_look_at_something_on_all_routes_or_one",
    ),
    (
        "waf.*.exclusions[].tag",
        "rules_may_be_left_out_or_not_look_at_something_on_all_routes_or_one",
    ),
    (
        "waf.*.exclusions[].target",
        "rules_may_be_left_out_or_not_look_at_something_on_all_routes_or_one",
    ),
    ("waf.*.inbound_threshold", "the_config_says_paranoia_and_threshold_to_the_rules"),
    ("waf.*.log", "lines_may_be_only_of_requests_that_are_refused"),
    ("waf.*.mode", "detecting_refuses_nobody_and_tells_all_the_same"),
    ("waf.*.outbound_threshold", "the_config_says_the_outbound_threshold_to_the_rules"),
    ("waf.*.own_rules", "the_built_in_rules_guard_routes_as_the_profile_says"),
    ("waf.*.paranoia", "the_config_says_paranoia_and_threshold_to_the_rules"),
    ("waf.*.rules[]", "what_rules_refuse_gets_403_with_the_requests_id_and_goes_nowhere"),
    ("waf.*.sample", "detecting_refuses_nobody_and_tells_all_the_same"),
    ("waf.*.time_budget", "who_is_over_its_budget_is_refused_or_passes"),
    ("waf.*.when_over", "who_is_over_its_budget_is_refused_or_passes"),
    ("waf_log.format", "requests_are_audited_as_modsecurity_does"),
    ("waf_log.to", "the_firewalls_log_goes_where_it_is_told"),
];

#[test]
fn every_key_of_the_schema_has_a_test_and_no_other_is_listed() {
    let output = Command::new(binary()).arg("schema").output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut keys = BTreeSet::new();
    walk(&schema, &schema, "", &mut keys);
    let listed: BTreeMap<_, _> = LEAVES.iter().copied().collect();
    let untested: Vec<_> = keys.iter().filter(|key| !listed.contains_key(key.as_str())).collect();
    assert!(untested.is_empty(), "keys without a test; add rows to LEAVES: {untested:?}");
    let gone: Vec<_> = listed.keys().filter(|key| !keys.contains(**key)).collect();
    assert!(gone.is_empty(), "rows of LEAVES for keys that do not exist: {gone:?}");
    assert!(LEAVES.is_sorted() && listed.len() == LEAVES.len(), "LEAVES: in order, each key once");
}

#[test]
fn every_test_that_is_named_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let sources: String = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for (key, test) in LEAVES {
        let attributed = format!("#[tokio::test]\nasync fn {test}() {{");
        assert!(sources.contains(&attributed), "{key} names a test that is not there: {test}");
    }
}

/// Collects the paths of all leaves of `node`: of all that it may be. A table that holds tables
/// like itself, or is like one elsewhere, ends there.
fn walk(root: &Value, node: &Value, path: &str, leaves: &mut BTreeSet<String>) {
    for choice in choices(root, node) {
        walk_one(root, choice, path, leaves);
    }
}

fn walk_one(root: &Value, node: &Value, path: &str, leaves: &mut BTreeSet<String>) {
    let below = |name: &str| {
        if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
    };
    let mut is_leaf = true;
    let is_known = ["all[]", "any[]", "not", "route[].security_headers"];
    let is_known = is_known.iter().any(|table| path.ends_with(table));
    if let (Some(properties), false) = (node["properties"].as_object(), is_known) {
        is_leaf = false;
        for (name, property) in properties {
            walk(root, property, &below(name), leaves);
        }
    }
    for any in ["additionalProperties", "patternProperties"] {
        let schemas: Vec<&Value> = match (&node[any], any) {
            (Value::Object(patterns), "patternProperties") => patterns.values().collect(),
            (schema @ Value::Object(_), _) => vec![schema],
            _ => continue,
        };
        is_leaf = false;
        for schema in schemas {
            walk(root, schema, &below("*"), leaves);
        }
    }
    if node["items"].is_object() {
        is_leaf = false;
        walk(root, &node["items"], &format!("{path}[]"), leaves);
    }
    if is_leaf {
        leaves.insert(path.to_owned());
    }
}

/// Follows references and options: all that a value may be.
fn choices<'a>(root: &'a Value, node: &'a Value) -> Vec<&'a Value> {
    if let Some(reference) = node["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        return choices(root, target);
    }
    match node["anyOf"].as_array() {
        Some(any) => any
            .iter()
            .filter(|choice| choice["type"] != "null")
            .flat_map(|choice| choices(root, choice))
            .collect(),
        None => vec![node],
    }
}
