#include "serial-transport/endpoint.h"

#include "serial-transport/endpoint_state.h"

namespace serial_transport {

Endpoint::Endpoint(asio::any_io_executor executor, EndpointOptions options, LinkOpener opener)
    : Endpoint(std::move(executor), options, std::vector{std::move(opener)}) {}
Endpoint::Endpoint(asio::any_io_executor executor, EndpointOptions options,
                   std::vector<LinkOpener> openers)
    : state_(std::make_shared<EndpointState>(std::move(executor), options, std::move(openers))) {}
Endpoint::~Endpoint() { state_->close(); }
void Endpoint::start() { state_->start(); }
void Endpoint::reopen() { state_->reopen(); }
void Endpoint::close() { state_->close(); }
std::string Endpoint::hand_over(const std::vector<std::shared_ptr<Connection>>& kept) {
  return state_->hand_over(kept);
}
std::optional<std::vector<std::shared_ptr<Connection>>> Endpoint::take_over(
    std::string_view state) {
  return state_->take_over(state);
}
void Endpoint::cancel() { state_->cancel_connects(); }
bool Endpoint::link_up() const { return state_->core().session_up(); }
std::string Endpoint::trouble() const { return state_->trouble(); }
asio::any_io_executor Endpoint::get_executor() const { return state_->executor(); }

void Endpoint::listen(std::string service, TrafficClass traffic, OnConnection on_connection) {
  state_->listeners[std::move(service)] = {traffic, std::move(on_connection)};
}
void Endpoint::listen(std::string service, OnConnection on_connection) {
  state_->listeners[std::move(service)] = {std::nullopt, std::move(on_connection)};
}
void Endpoint::on_link_change(std::function<void(bool)> callback) {
  state_->link_callback = std::move(callback);
}
void Endpoint::begin_connect(std::string service, TrafficClass traffic, ConnectHandler handler) {
  state_->connect(std::move(service), traffic, std::move(handler));
}

}  // namespace serial_transport
