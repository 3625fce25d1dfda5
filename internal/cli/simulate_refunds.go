package cli

import (
	"context"
	"errors"
	"fmt"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/wechat"
)

// giveBack sends the callback of a refund, which must be taken.
func (s simulator) giveBack(ctx context.Context, r paysim.Refund) error {
	c, err := s.provider.Refunded(r)
	if err != nil {
		return err
	}
	return s.call(ctx, c)
}

// wantOrder reads the order and holds what became of its money.
func (s simulator) wantOrder(ctx context.Context, id doorbell.OrderID, status doorbell.PayStatus, refunded int64) error {
	var o doorbell.Order
	if err := s.get(ctx, fmt.Sprintf("api/v1/orders/%d", id), &o); err != nil {
		return err
	}
	if o.PayStatus != status || o.RefundedAmount != refunded {
		return fmt.Errorf("order %d: pay status %d with %d refunded, want %d with %d", id, o.PayStatus, o.RefundedAmount, status, refunded)
	}
	return nil
}

func (s simulator) refundPart(ctx context.Context, number string) error {
	id, err := s.order(ctx, number)
	if err == nil {
		err = s.pay(ctx, number)
	}
	if err != nil {
		return err
	}
	part := max(s.amount/10, 1)
	for range 2 { // told twice, it counts once
		if err := s.giveBack(ctx, paysim.Refund{Payment: s.payment(number), Part: part}); err != nil {
			return err
		}
	}
	status, back := doorbell.Paid, part
	if part == s.amount {
		status = doorbell.Refunded
	}
	s.say("  refunded in part, %d of %d fen: it rings on / 部分退款，继续响铃\n", part, s.amount)
	return s.wantOrder(ctx, id, status, back)
}

func (s simulator) refundDuplicate(ctx context.Context, number string) error {
	id, err := s.order(ctx, number)
	if err == nil {
		err = s.pay(ctx, number)
	}
	if err != nil {
		return err
	}
	twice := s.payment(number)
	twice.Transaction += "b"
	c, err := s.provider.Paid(twice)
	if err == nil {
		err = s.call(ctx, c)
	}
	if err == nil {
		err = s.giveBack(ctx, paysim.Refund{Payment: twice})
	}
	if err != nil {
		return err
	}
	s.say("  paid twice, the second one refunded: it rings on / 重复支付，退还一笔，继续响铃\n")
	return s.wantOrder(ctx, id, doorbell.Paid, 0)
}

func (s simulator) refundEarly(ctx context.Context, number string) error {
	id, err := s.order(ctx, number)
	if err != nil {
		return err
	}
	other := s.payment(number)
	other.Transaction += "a"
	if err := s.giveBack(ctx, paysim.Refund{Payment: other}); err != nil {
		return err
	}
	if err := s.pay(ctx, number); err != nil {
		return err
	}
	s.say("  the refund of another payment came first: it rings all the same / 先收到另一笔支付的退款，照常响铃\n")
	return s.wantOrder(ctx, id, doorbell.Paid, 0)
}

// partner plays WeChat Pay's partner mode (服务商), at the path of its account.
func (s simulator) partner(ctx context.Context, number string) error {
	player, ok := s.provider.(*wechat.Player)
	if !ok {
		s.say("  WeChat Pay alone has a partner mode / 仅微信支付有服务商模式\n")
		return nil
	}
	id, err := s.order(ctx, number)
	if err != nil {
		return err
	}
	path, partner := paysim.Path(player)+"/"+wechat.TrialPartner, player.Partner()
	stranger := *partner
	stranger.SubMchID = "1900000299"
	c, err := stranger.Paid(s.payment(number))
	if err != nil {
		return err
	}
	if err := s.callAt(ctx, path, c); err == nil {
		return errors.New("a sub-merchant that is not listed was taken")
	}
	if c, err = partner.Paid(s.payment(number)); err != nil {
		return err
	}
	if err := s.callAt(ctx, path, c); err != nil {
		return fmt.Errorf("the callback was refused: %w", err)
	}
	s.say("  a partner tells that its sub-merchant %s was paid / 服务商模式：子商户支付回调\n", partner.SubMchID)
	return s.wantOrder(ctx, id, doorbell.Paid, 0)
}
