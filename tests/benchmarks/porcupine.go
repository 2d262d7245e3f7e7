// Porcupine's judgement of a history, for tests/benchmarks/history.py: reads rows of process, name, argument, start, end
// and result as JSON, prints the verdict and the milliseconds.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"
)

type call struct {
	name     string
	argument int
}

func register(state, input, output interface{}) (bool, interface{}) {
	made := input.(call)
	if made.name == "write" {
		return true, made.argument
	}
	return output.(int) == state.(int), state
}

func counter(state, input, output interface{}) (bool, interface{}) {
	sum := state.(int)
	if input.(call).name == "add" {
		sum++
	}
	return output.(int) == sum, sum
}

func queue(state, input, output interface{}) (bool, interface{}) {
	made, values := input.(call), state.(string)
	if made.name == "put" {
		return true, values + strconv.Itoa(made.argument) + ","
	}
	if values == "" {
		return output.(int) == -1, values
	}
	for at := range values {
		if values[at] == ',' {
			first, _ := strconv.Atoi(values[:at])
			return output.(int) == first, values[at+1:]
		}
	}
	return false, values
}

func main() {
	var rows [][]interface{}
	if err := json.NewDecoder(os.Stdin).Decode(&rows); err != nil {
		panic(err)
	}
	var history []porcupine.Operation
	for _, row := range rows {
		number := func(at int) int { return int(row[at].(float64)) }
		history = append(history, porcupine.Operation{
			ClientId: number(0), Input: call{row[1].(string), number(2)}, Call: int64(number(3)),
			Return: int64(number(4)), Output: number(5),
		})
	}
	models := map[string]porcupine.Model{
		"register": {Init: func() interface{} { return -1 }, Step: register},
		"counter":  {Init: func() interface{} { return 0 }, Step: counter},
		"queue":    {Init: func() interface{} { return "" }, Step: queue},
	}
	seconds, _ := strconv.ParseFloat(os.Args[2], 64)
	begun := time.Now()
	verdict := porcupine.CheckOperationsTimeout(models[os.Args[1]], history, time.Duration(seconds*1e9))
	fmt.Printf("%s %.1f\n", verdict, float64(time.Since(begun).Microseconds())/1e3)
}
