// A completion handler of any type, to be called once. (Asio 1.81 has none of its own.)
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <memory>
#include <utility>

namespace serial_transport {
namespace asio = boost::asio;
}

namespace serial_transport::detail {

template <typename... Args>
class Handler {
 public:
  Handler() = default;
  template <typename H>
  Handler(H handler, const asio::any_io_executor& fallback)
      : held_(std::make_unique<Model<H>>(std::move(handler), fallback)) {}
  explicit operator bool() const { return held_ != nullptr; }

  // Runs `cancel` when the handler's own cancellation slot is told to, until the handler is posted.
  template <typename F>
  void on_cancel(F cancel) {
    if (auto slot = held_->slot(); slot.is_connected()) {
      slot.assign([cancel = std::move(cancel)](asio::cancellation_type) mutable { cancel(); });
    }
  }

  // Posts the call to the handler's own executor, never calls it from within.
  void post(Args... args) {
    if (auto held = std::move(held_)) held->post(std::move(args)...);
  }
  // Calls it at once where its executor lets it: from the loop alone, never from the function that
  // it was given to.
  void dispatch(Args... args) {
    if (auto held = std::move(held_)) held->dispatch(std::move(args)...);
  }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual asio::cancellation_slot slot() = 0;
    virtual void post(Args... args) = 0;
    virtual void dispatch(Args... args) = 0;
  };
  template <typename H>
  struct Model : Base {
    // The tracked executor keeps io_context::run() from returning while this is outstanding.
    Model(H h, const asio::any_io_executor& fallback)
        : handler(std::move(h)),
          executor(
              asio::prefer(asio::any_io_executor(asio::get_associated_executor(handler, fallback)),
                           asio::execution::outstanding_work.tracked)) {}
    asio::cancellation_slot slot() override {
      return asio::get_associated_cancellation_slot(handler);
    }
    void post(Args... args) override { asio::post(executor, call(std::move(args)...)); }
    void dispatch(Args... args) override { asio::dispatch(executor, call(std::move(args)...)); }
    auto call(Args... args) {
      if (auto s = slot(); s.is_connected()) s.clear();
      return [h = std::move(handler), ... a = std::move(args)]() mutable {
        std::move(h)(std::move(a)...);
      };
    }
    H handler;
    asio::any_io_executor executor;
  };
  std::unique_ptr<Base> held_;
};

}  // namespace serial_transport::detail
