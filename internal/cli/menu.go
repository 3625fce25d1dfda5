package cli

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"doorbell/internal/doorbell"
)

// menu is what a simulated kitchen sells and its customers say.
type menu struct {
	dishes []string
	notes  []string // with as many that say nothing
	times  string   // a dish and how many of it
}

var menus = map[string]menu{
	"zh": {
		dishes: []string{
			"宫保鸡丁", "鱼香肉丝", "麻婆豆腐", "番茄炒蛋", "红烧肉", "水煮牛肉（中辣）", "扬州炒饭", "兰州牛肉面", "酸辣土豆丝",
			"小笼包（8 只）", "凉拌黄瓜", "酸梅汤", "米饭",
		},
		notes: []string{"少辣，不要香菜", "多放醋", "打包，餐具 2 份", "小孩吃，不放辣", "电话联系，不要按门铃", "", "", "", "", ""},
		times: "%s ×%d",
	},
	"en": {
		dishes: []string{
			"Kung Pao chicken", "Mapo tofu", "Fried rice with egg", "Beef noodle soup", "Spring rolls (4)", "Hot and sour soup",
			"Sweet and sour pork", "Dumplings, steamed (12)", "Cucumber salad", "Iced lemon tea", "Steamed rice",
		},
		notes: []string{"No coriander, please", "Allergic to peanuts", "Extra chopsticks", "Sauce on the side", "", "", "", ""},
		times: "%s × %d",
	},
}

// ordered makes up what a customer ordered: one to five different dishes, now
// and then a note, and either a table or a number to be called out.
func ordered(language string, intn func(int) int) doorbell.Detail {
	m := menus[language]
	d := doorbell.Detail{Note: m.notes[intn(len(m.notes))]}
	first, step := intn(len(m.dishes)), 1+intn(2)
	for i := range 1 + intn(5) {
		dish := m.dishes[(first+i*step)%len(m.dishes)]
		if n := 1 + intn(4); n > 1 {
			dish = fmt.Sprintf(m.times, dish, n)
		}
		d.Lines = append(d.Lines, dish)
	}
	if intn(2) == 0 {
		d.Table = fmt.Sprintf("%c%d", 'A'+intn(3), 1+intn(20))
	} else {
		d.Pickup = strconv.Itoa(100 + intn(900))
	}
	return d
}

// menuLanguage returns the shop's, where it has one; else every other order is in
// the other language, so that both are seen.
func menuLanguage(language string) string {
	if language == "" {
		return []string{"zh", "en"}[rand.IntN(2)]
	}
	return language
}
